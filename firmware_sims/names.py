"""Names for people who do not exist, in Chinese and in Latin letters. Common ones, paired at random."""

import random
from typing import Final, Literal

Sex = Literal["female", "male"]

_SURNAMES: Final = (
    ("王", "Wang"),
    ("李", "Li"),
    ("张", "Zhang"),
    ("刘", "Liu"),
    ("陈", "Chen"),
    ("杨", "Yang"),
    ("黄", "Huang"),
    ("赵", "Zhao"),
    ("吴", "Wu"),
    ("周", "Zhou"),
    ("徐", "Xu"),
    ("孙", "Sun"),
    ("马", "Ma"),
    ("朱", "Zhu"),
    ("胡", "Hu"),
    ("郭", "Guo"),
)
_GIVEN: Final = {
    "female": (
        ("秀英", "Xiuying"),
        ("桂兰", "Guilan"),
        ("玉珍", "Yuzhen"),
        ("淑华", "Shuhua"),
        ("丽娟", "Lijuan"),
        ("春梅", "Chunmei"),
        ("晓红", "Xiaohong"),
        ("雅琴", "Yaqin"),
    ),
    "male": (
        ("建国", "Jianguo"),
        ("志强", "Zhiqiang"),
        ("国华", "Guohua"),
        ("德明", "Deming"),
        ("文斌", "Wenbin"),
        ("永福", "Yongfu"),
        ("海涛", "Haitao"),
        ("长庚", "Changgeng"),
    ),
}
_SURNAMES_ABROAD: Final = (
    ("韦伯", "Weber"),
    ("约翰逊", "Johnson"),
    ("马丁内斯", "Martinez"),
    ("奥贝", "Obi"),
    ("米勒", "Miller"),
    ("施密特", "Schmidt"),
    ("科恩", "Cohen"),
    ("里德", "Reid"),
)
_GIVEN_ABROAD: Final = {
    "female": (("安娜", "Anna"), ("玛丽", "Mary"), ("罗莎", "Rosa"), ("格蕾丝", "Grace"), ("海伦", "Helen")),
    "male": (("约翰", "John"), ("卡尔", "Karl"), ("大卫", "David"), ("塞缪尔", "Samuel"), ("托马斯", "Thomas")),
}


def draw_name(rng: random.Random, sex: Sex, *, is_abroad: bool) -> tuple[str, str]:
    """(in Chinese, in Latin letters)."""
    if is_abroad:
        (surname_zh, surname_en), (given_zh, given_en) = rng.choice(_SURNAMES_ABROAD), rng.choice(_GIVEN_ABROAD[sex])
        return f"{given_zh}·{surname_zh}", f"{given_en} {surname_en}"
    (surname_zh, surname_en), (given_zh, given_en) = rng.choice(_SURNAMES), rng.choice(_GIVEN[sex])
    return surname_zh + given_zh, f"{surname_en} {given_en}"

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
_ABROAD: Final = {
    "female": (
        ("安娜·韦伯", "Anna Weber"),
        ("玛丽·约翰逊", "Mary Johnson"),
        ("罗莎·马丁内斯", "Rosa Martinez"),
        ("格蕾丝·奥贝", "Grace Obi"),
    ),
    "male": (
        ("约翰·米勒", "John Miller"),
        ("卡尔·施密特", "Karl Schmidt"),
        ("大卫·科恩", "David Cohen"),
        ("塞缪尔·里德", "Samuel Reid"),
    ),
}


def draw_name(rng: random.Random, sex: Sex, *, is_abroad: bool) -> tuple[str, str]:
    """(in Chinese, in Latin letters)."""
    if is_abroad:
        return rng.choice(_ABROAD[sex])
    (surname_zh, surname_en), (given_zh, given_en) = rng.choice(_SURNAMES), rng.choice(_GIVEN[sex])
    return surname_zh + given_zh, f"{surname_en} {given_en}"

"""Frames of the User Data Service (0x2A99, 0x2A9A, 0x2A9F), published by others, and what they say."""

from golden.published import Published

_IM97MORI = "im97mori-github/JavaBLEUtil"
_SUPPLEMENT = "GATT Specification Supplement 2025-12-23"
_SAID = {"op_code": "response_code", "response_value": "success"}

PUBLISHED = (
    Published(
        source=f"{_SUPPLEMENT} 3.264, user of index 3",
        characteristic="2a9a",
        frame="03",
        expected={"user_slot": 3},
    ),
    Published(
        source=f"{_SUPPLEMENT} 3.264, unknown user",
        characteristic="2a9a",
        frame="FF",
        expected={"user_slot": None},
    ),
    Published(
        source=f"{_SUPPLEMENT} 3.76, little endian",
        characteristic="2a99",
        frame="01020304",
        expected={"count": 0x04030201},
    ),
    *(
        Published(source=f"{_IM97MORI} UserControlPoint {what}", characteristic="2a9f", frame=frame, expected=expected)
        for what, frame, expected in (
            ("register", "01 3132", {"op_code": "register_new_user", "consent_code": 0x3231, "user_index": None}),
            ("consent", "02 31 3233", {"op_code": "consent", "consent_code": 0x3332, "user_index": 0x31}),
            ("delete user data", "03", {"op_code": "delete_user_data"}),
            ("list all users", "04", {"op_code": "list_all_users"}),
            ("delete users", "05 31", {"op_code": "delete_users", "user_index": 0x31}),
            ("registered", "20 01 01 31", _SAID | {"request_op_code": "register_new_user", "user_index": 0x31}),
            ("consented", "20 02 01", _SAID | {"request_op_code": "consent", "user_index": None}),
            ("data deleted", "20 03 01", _SAID | {"request_op_code": "delete_user_data"}),
            ("listed", "20 04 01 31", _SAID | {"request_op_code": "list_all_users", "number_of_users": 0x31}),
        )
    ),
    Published(
        source="oliexdev/openScale StandardWeightProfile, a consent that the scale refuses",
        characteristic="2a9f",
        frame="20 02 05",
        expected={"op_code": "response_code", "request_op_code": "consent", "response_value": "user_not_authorized"},
    ),
)

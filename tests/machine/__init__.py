"""A small Linux in qemu that has a real kernel's Bluetooth and a real bluetoothd, and nothing else.

Tests join simulated meters to its radio and are clients of its system bus: the second tier of docs/explanation/bluetooth.md."""

"""The box in the home: reads meters over Bluetooth, keeps every reading, sends it over MQTT until the server has it."""

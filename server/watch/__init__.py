"""The house watches itself: states that nobody stumbles upon, a patient who is nobody, every alert computed anew each night."""

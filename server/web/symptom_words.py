"""What a patient has said of symptoms, in words."""

from server.store.record import Answer
from server.web.words import SYMPTOMS, Words


def say_symptoms(answer: Answer, words: Words) -> str:
    """Which there were, or that there were none."""
    if not answer.symptoms:
        return words.say("Asked for symptoms: none")
    named = [words.say(text) for code in answer.symptoms if (text := code.replace("_", " ")) in SYMPTOMS]
    return words.say("Symptoms: %(which)s", which=words.listed(named) or words.say("yes"))

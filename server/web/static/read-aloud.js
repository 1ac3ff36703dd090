// Says the patient's page aloud with the browser's own voice. Nothing is loaded or sent; without a voice there is no button.
"use strict";

const button = document.getElementById("read-aloud");

if (button && "speechSynthesis" in window) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const spoken = new SpeechSynthesisUtterance(button.dataset.text);
    spoken.lang = button.dataset.lang;
    spoken.rate = 0.9;
    window.speechSynthesis.cancel();
    window.speechSynthesis.speak(spoken);
  });
}

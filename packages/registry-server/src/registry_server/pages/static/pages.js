// What is nicer live. Every page reads and acts without it.

const times = document.querySelectorAll("time[datetime]");
const units = [["day", 86400], ["hour", 3600], ["minute", 60]];

function ago(seconds) {
  for (const [unit, size] of units) {
    if (seconds >= size) {
      const count = Math.round(seconds / size);
      return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
    }
  }
  return "just now";
}

// Only ages in minutes and hours become wrong on an open page.
function refresh() {
  for (const time of times) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    if (seconds > 60 && seconds < 6 * 86400 && time.textContent.endsWith("ago")) {
      time.textContent = ago(seconds);
    }
  }
}
setInterval(refresh, 30000);

for (const box of document.querySelectorAll(".copy")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button small";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(box.querySelector("pre").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  if (navigator.clipboard) {
    box.append(button);
  }
}

// A slash goes to the box that finds, unless somebody is writing.
document.addEventListener("keydown", (event) => {
  const box = document.querySelector("input[type=search]");
  const writing = event.target.closest("input, textarea, select");
  if (event.key === "/" && box && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    box.focus();
    box.select();
  }
});

// What is chosen from a list is shown at once.
for (const choice of document.querySelectorAll("form.find select")) {
  choice.addEventListener("change", () => choice.form.requestSubmit());
}

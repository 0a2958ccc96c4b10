// The worker as one text, which bundle.py writes here where all modules are one script; null: it is a file beside this one.

const workerText = null;

export { workerText };

// Loaded before a server whose memory is measured: when told to over IPC, it says what it has, collects garbage, and says it again.
process.on("message", () => {
  const before = process.memoryUsage();
  global.gc();
  // Pages that the first collection freed are given back beside it, and what it finalized is garbage for a second.
  setTimeout(() => {
    global.gc();
    process.send({ before, after: process.memoryUsage() });
  }, 100);
});

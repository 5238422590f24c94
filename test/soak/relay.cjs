/** `relay.cjs PORT UPSTREAM`: passes connections on, as a process of its own that can be killed or frozen in the place of what is behind it. Tells its parent its port. */
const { connect, createServer } = require("node:net");

const [port, upstream] = process.argv.slice(2).map(Number);
const server = createServer((caller) => {
  const there = connect(upstream, "127.0.0.1");
  for (const [from, to] of [
    [caller, there],
    [there, caller],
  ]) {
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
    from.pipe(to);
  }
});
server.listen(port, "127.0.0.1", () => process.send(server.address().port));
process.on("disconnect", () => process.exit());

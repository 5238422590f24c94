// Loaded into a broker before its own code: writes down, a line each, every host and port that the process connects to.
const { appendFileSync } = require("node:fs");
const { Socket } = require("node:net");

appendFileSync(process.env.DIALLED, "");
const { connect } = Socket.prototype;
Socket.prototype.connect = function (...given) {
  const [options] = Array.isArray(given[0]) ? given[0] : given;
  appendFileSync(process.env.DIALLED, `${options.host}:${options.port}\n`);
  return connect.apply(this, given);
};

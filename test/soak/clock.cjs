/**
 * Moves the time of this whole process: of a broker that loads it, of the vendor's SDK in there, or of the cloud and the issuer here. Timers take as
 * long as ever. Where a parent says over IPC by how many milliseconds, what lives in the heap then is answered, in bytes.
 */
const Real = Date;
let aheadMs = 0;

globalThis.Date = class Moved extends Real {
  constructor(...parts) {
    super(...(parts.length === 0 ? [Moved.now()] : parts));
  }
  static now() {
    return Real.now() + aheadMs;
  }
};

exports.advance = (ms) => {
  aheadMs += ms;
};

process.on("message", (ms) => {
  exports.advance(ms);
  global.gc();
  // What the first collection finalized is garbage for a second.
  setImmediate(() => {
    global.gc();
    process.send(process.memoryUsage().heapUsed);
  });
});
// It must not be what keeps a broker alive that has been told to stop.
process.channel?.unref();

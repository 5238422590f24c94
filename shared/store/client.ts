/** The client of Redis, which `npm run build` makes a file of its own of: only a broker that has a Redis reads it. */

export { Redis } from "ioredis";

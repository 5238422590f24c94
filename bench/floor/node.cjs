// The floor: the least that a Node can be started for and still answer HTTP.
const server = require("node:http").createServer((_, response) => response.end("hello"));
server.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));

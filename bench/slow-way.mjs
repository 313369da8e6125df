// A proxy to a port of this machine on which each connection brings so many bytes a second: `node slow-way.mjs PORT BYTES`. Prints its own port.
import { connect, createServer } from 'node:net';

/** Milliseconds between two pieces. */
const TURN = 20;

const [port, bytesPerSecond] = process.argv.slice(2).map(Number);
const proxy = createServer({ allowHalfOpen: true }, (client) => {
  const server = connect({ port, host: '127.0.0.1', allowHalfOpen: true, readableHighWaterMark: 2 ** 22 });
  client.pipe(server);
  // What was not there to be sent is not sent later: a network saves nothing up, but for what lies in its buffers.
  const most = (bytesPerSecond * 2 * TURN) / 1000;
  let owed = most;
  let last = performance.now();
  let ended = false;
  const timer = setInterval(() => {
    const now = performance.now();
    owed = Math.min(owed + ((now - last) / 1000) * bytesPerSecond, most);
    last = now;
    const piece = server.read(Math.min(Math.floor(owed), server.readableLength));
    if (piece !== null) {
      owed -= piece.length;
      client.write(piece);
    }
    if (ended && server.readableLength === 0) stop();
  }, TURN);
  const stop = () => {
    clearInterval(timer);
    client.end();
  };
  const end = () => {
    clearInterval(timer);
    client.destroy();
    server.destroy();
  };
  // It is paused as long as somebody listens for this, and ends when all has been read.
  server.on('readable', () => {});
  server.on('end', () => {
    ended = true;
  });
  for (const socket of [client, server]) socket.on('error', end);
  client.on('close', end);
}).listen(0, '127.0.0.1', () => console.log(proxy.address().port));

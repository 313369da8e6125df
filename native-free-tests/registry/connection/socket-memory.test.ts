import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SocketMemory } from '#src/registry/connection/socket-memory.js';

const bytes = randomBytes(24 * 1024 * 1024);

let server: Server;
beforeEach(async () => {
  server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(bytes);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => server.close());

async function connected(): Promise<Socket> {
  const memory = new SocketMemory();
  const { port } = server.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port, onread: memory.onread });
  socket.once('connect', () => memory.serve(socket));
  await once(socket, 'connect');
  // Of those who wait for more, each waits for the end too.
  return socket.setMaxListeners(0);
}

/** Reads as undici does: a chunk is done with when the next one is asked for. @param dawdle called after each */
async function read(socket: Socket, dawdle: (chunk: Buffer) => unknown): Promise<Buffer> {
  const copies: Buffer[] = [];
  let ended = false;
  socket.once('end', () => {
    ended = true;
  });
  while (!ended) {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) await Promise.race([once(socket, 'readable'), once(socket, 'end')]);
    else {
      copies.push(Buffer.from(chunk));
      await dawdle(chunk);
    }
  }
  return Buffer.concat(copies);
}

it('a reader that keeps up finds what was sent, in the same memory again and again', async () => {
  const memory = new Set<ArrayBufferLike>();
  const found = await read(await connected(), ({ buffer }) => memory.add(buffer));
  expect(found.equals(bytes)).toBe(true);
  expect(memory.size).toBeLessThan(10);
});

it('a reader that is behind finds what was sent', async () => {
  const found = await read(await connected(), () => (randomInt(20) === 0 ? sleep(randomInt(5)) : undefined));
  expect(found.equals(bytes)).toBe(true);
});

it('a reader that puts some of it back, as a parser does that is told to wait, finds it later', async () => {
  const socket = await connected();
  const copies: Buffer[] = [];
  let rest: Buffer | undefined;
  const found = await read(socket, async (chunk) => {
    const kept = randomInt(8) === 0 && chunk.length > 100 ? randomInt(1, 100) : chunk.length;
    copies.push(Buffer.from(chunk.subarray(0, kept)));
    rest = chunk.subarray(kept);
    if (rest.length > 0) {
      socket.unshift(rest);
      await sleep(randomInt(3));
    }
  });
  expect(found.length).toBeGreaterThan(bytes.length);
  expect(Buffer.concat(copies).equals(bytes)).toBe(true);
});

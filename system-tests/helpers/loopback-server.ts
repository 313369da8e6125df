import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach } from 'vitest';

export interface LoopbackServer {
  /** `localhost:PORT`. */
  readonly host: string;
  /** Connections that are open now. */
  connections(): number;
}

const open = new Set<() => Promise<void>>();

afterEach(async () => {
  for (const close of [...open]) await close();
});

/** Has a server listen on a free port of loopback. Closed after the test, whoever is connected. */
export async function listenOnLoopback(server: Server): Promise<LoopbackServer> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    open.delete(close);
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  open.add(close);
  return { host: `localhost:${(server.address() as AddressInfo).port}`, connections: () => sockets.size };
}

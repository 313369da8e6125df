import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hashSync } from 'bcryptjs';
import { afterEach } from 'vitest';
import type { buildImage, buildIndex } from '../../native-free-tests/helpers/image-builder.js';
import type { Certificate } from './certificates.js';
import { temporaryDirectory } from './test-store.js';

type Image = ReturnType<typeof buildImage>;
type Pushed = Image | ReturnType<typeof buildIndex>;

export interface RegistrySetup {
  /** Who may come in, by htpasswd. Default: everybody. */
  readonly user?: { readonly name: string; readonly password: string };
  /** Default: plain HTTP. */
  readonly tls?: Certificate;
  /** With `tls`: lets in only who shows a certificate that is signed by this authority. Default: whoever comes. */
  readonly clientAuthority?: string;
  /** Its `auth.token` settings. Default: none. */
  readonly token?: Readonly<Record<'realm' | 'service' | 'issuer' | 'rootcertbundle', string>>;
  /** Serves what another one has stored. Default: a storage of its own. */
  readonly storageOf?: TestRegistry;
}

export interface TestRegistry {
  /** `localhost:PORT`. */
  readonly host: string;
  readonly port: number;
  /** Its storage. */
  readonly directory: string;
  /** Stores an image by the distribution API, as a client would. @returns the digest of its manifest */
  push(repository: string, tag: string, image: Pushed): Promise<string>;
  /** Ends it at once; `start` brings it back on the same port with the same storage. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

const running = new Set<ChildProcess>();

afterEach(async () => {
  for (const child of [...running]) await end(child);
});

/** Debian's `docker-registry` on a free port of loopback, with a storage of its own. Ended after the test. */
export async function startRegistry({
  user,
  tls,
  clientAuthority,
  token,
  storageOf,
}: RegistrySetup = {}): Promise<TestRegistry> {
  const directory = temporaryDirectory();
  const port = await freePort();
  const authorization = user && `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}`;
  if (user !== undefined) writeFileSync(join(directory, 'htpasswd'), `${user.name}:${hashSync(user.password, 4)}\n`);
  const auth = {
    ...(user && { htpasswd: { realm: 'tests', path: join(directory, 'htpasswd') } }),
    ...(token && { token }),
  };
  const settings = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(storageOf?.directory ?? directory, 'data') } },
    http: {
      addr: `127.0.0.1:${port}`,
      secret: 'of-the-tests',
      ...(tls && {
        tls: {
          certificate: tls.certificate,
          key: tls.key,
          ...(clientAuthority !== undefined && { clientcas: [clientAuthority] }),
        },
      }),
    },
    ...(Object.keys(auth).length > 0 && { auth }),
  };
  // YAML takes JSON.
  writeFileSync(join(directory, 'registry.yml'), JSON.stringify(settings));
  let child: ChildProcess | undefined;
  const start = async () => {
    child = spawn('docker-registry', ['serve', join(directory, 'registry.yml')], { stdio: 'ignore' });
    running.add(child);
    await reachable(port, child);
  };
  await start();
  const origin = `${tls ? 'https' : 'http'}://localhost:${port}`;
  return {
    host: `localhost:${port}`,
    port,
    directory,
    start,
    stop: () => end(child),
    push: (repository, tag, image) => {
      const ca = tls && readFileSync(join(tls.authority, 'ca.crt'), 'utf8');
      return push({ origin, repository, ca }, tag, image, authorization);
    },
  };
}

/** Below the ports that the kernel gives to outgoing connections, and far from where another worker of this run looks, so it stays free until it is used. */
let nextPort = 10_000 + ((process.pid * 97) % 20_000);

export async function freePort(): Promise<number> {
  for (;;) {
    const port = nextPort++;
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

async function reachable(port: number, child: ChildProcess): Promise<void> {
  const { connect } = await import('node:net');
  for (let attempt = 0; attempt < 400; attempt++) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with status ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    const connected = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (connected) return;
    await sleep(25);
  }
  throw new Error(`docker-registry does not listen on port ${port}`);
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || !running.delete(child)) return;
  if (child.exitCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function push(
  { origin, repository, ca }: { readonly origin: string; readonly repository: string; readonly ca: string | undefined },
  tag: string,
  pushed: Pushed,
  authorization: string | undefined,
): Promise<string> {
  const { Agent, request } = await import('undici');
  const dispatcher = new Agent(ca === undefined ? {} : { connect: { ca } });
  const send = async (method: 'POST' | 'PUT', url: string, body: Buffer | null, type: string) => {
    const headers = { 'content-type': type, ...(authorization === undefined ? {} : { authorization }) };
    const answer = await request(url, { method, body, headers, dispatcher });
    await answer.body.dump();
    if (answer.statusCode >= 300) throw new Error(`${method} ${url}: status ${answer.statusCode}`);
    return answer.headers;
  };
  const upload = async (digest: string, bytes: Buffer) => {
    const { location } = await send('POST', `${origin}/v2/${repository}/blobs/uploads/`, null, 'text/plain');
    const url = new URL(String(location), origin);
    url.searchParams.set('digest', digest);
    await send('PUT', String(url), bytes, 'application/octet-stream');
  };
  const put = async (name: string, one: Pushed): Promise<string> => {
    if (one.kind === 'index') {
      for (const member of one.members)
        await put((member.kind === 'index' ? member.index : member.manifest).descriptor.digest, member);
    } else {
      for (const { digest, blob } of one.layers) await upload(digest, blob);
      await upload(one.config.descriptor.digest, one.config.bytes);
    }
    const { descriptor, bytes } = one.kind === 'index' ? one.index : one.manifest;
    await send('PUT', `${origin}/v2/${repository}/manifests/${name}`, bytes, descriptor.mediaType);
    return descriptor.digest;
  };
  try {
    return await put(tag, pushed);
  } finally {
    await dispatcher.close();
  }
}

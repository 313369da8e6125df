import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { type Certificate, makeCertificate, openssl } from '../helpers/certificates.js';
import { startRegistry, type TestRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { failedPull } from './pulling.js';

const image = buildImage([buildLayer([{ path: 'a', content: 'a' }]), buildLayer([{ path: 'b', content: 'b' }])]);

/** A directory with these files, each with what another file holds, or several one after the other. */
function directoryOf(files: Readonly<Record<string, string | readonly string[]>>): string {
  const directory = temporaryDirectory();
  for (const [name, from] of Object.entries(files)) {
    writeFileSync(
      join(directory, name),
      [from]
        .flat()
        .map((path) => readFileSync(path, 'utf8'))
        .join(''),
    );
  }
  return directory;
}

/** A `--hosts-dir` with these files for one registry. */
function hostsDirOf(host: string, directory: string): string {
  const hostsDir = temporaryDirectory();
  symlinkSync(directory, join(hostsDir, host));
  return hostsDir;
}

describeWith(['root', 'docker-registry', 'openssl'], 'a registry that wants to see a certificate', () => {
  interface Bench {
    readonly registry: TestRegistry;
    readonly source: string;
    /** The authority to trust. */
    readonly ca: string;
    readonly client: Certificate;
  }

  async function bench(): Promise<Bench> {
    const [tls, client] = [makeCertificate(), makeCertificate(['DNS:client'])];
    const clientAuthority = join(client.authority, 'ca.crt');
    const open = await startRegistry();
    await open.push('app', 'v1', image);
    await open.stop();
    const registry = await startRegistry({ tls, clientAuthority, storageOf: open });
    return { registry, source: `${registry.host}/app:v1`, ca: join(tls.authority, 'ca.crt'), client };
  }

  it('lets us in with the one of --cert-dir, and of a directory of certificates below --hosts-dir', async () => {
    const { registry, source, ca, client } = await bench();
    const directory = directoryOf({ 'ca.crt': ca, 'client.cert': client.certificate, 'client.key': client.key });
    for (const args of [
      ['--cert-dir', directory],
      ['--hosts-dir', hostsDirOf(registry.host, directory)],
    ]) {
      const pulled = await newStore().run(['pull', source, ...args]);
      expect(pulled, pulled.stderr).toMatchObject({ status: 0 });
    }
  });

  it('lets us in with the one of hosts.toml, in each of its forms', async () => {
    const { registry, source, ca, client } = await bench();
    const directory = directoryOf({
      'ca.crt': ca,
      'client.cert': client.certificate,
      'client.key': client.key,
      'both.pem': [client.certificate, client.key],
      'key-first.pem': [client.key, client.certificate],
    });
    const p = await openStore({ registry: { hostsDir: hostsDirOf(registry.host, directory) } });
    // The first fetches all of it; the others ask where the tag points, which nobody may without the certificate.
    for (const value of [
      '"both.pem"',
      '"key-first.pem"',
      `"${join(directory, 'both.pem')}"`,
      '["both.pem", "key-first.pem"]',
      '[["client.cert", "client.key"]]',
      '[["both.pem", ""], ["client.cert", "client.key"]]',
    ]) {
      writeFileSync(join(directory, 'hosts.toml'), `ca = "ca.crt"\nclient = ${value}\n`);
      expect((await p.images.pull(source)).id, value).toBe(image.manifest.descriptor.digest);
    }
  });

  it('refuses who shows none, and who shows one of another authority, with what to do', async () => {
    const { source, ca } = await bench();
    const stranger = makeCertificate();
    for (const certDir of [
      directoryOf({ 'ca.crt': ca }),
      directoryOf({ 'ca.crt': ca, 'client.cert': stranger.certificate, 'client.key': stranger.key }),
    ]) {
      const p = await openStore();
      expect(await failedPull(p, p.images.pull(source, { registry: { certDir } }))).toMatchObject({
        code: 'ERR_REGISTRY_TLS',
        message: expect.stringContaining('client certificate'),
        hint: expect.stringContaining('give a client certificate that the registry knows'),
      });
    }
  });

  it('never has its certificate shown to the host that it redirects to', async () => {
    const [tls, client] = [makeCertificate(), makeCertificate(['DNS:client'])];
    const shown: { readonly url: string | undefined; readonly subject: unknown }[] = [];
    // It asks everybody for a certificate, and takes what it gets.
    const storage = createServer(
      { cert: readFileSync(tls.certificate), key: readFileSync(tls.key), requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        shown.push({ url: request.url, subject: (request.socket as TLSSocket).getPeerCertificate().subject });
        const wanted = request.url?.split('/').at(-1);
        const layer = image.layers.find(({ digest }) => digest === wanted);
        const bytes = layer?.blob ?? image.config.bytes;
        response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
      },
    ).listen(0, '127.0.0.1');
    await once(storage, 'listening');
    // The front asks for a certificate too, gets ours, and sends us on.
    const fronted: unknown[] = [];
    const front = createServer(
      {
        cert: readFileSync(tls.certificate),
        key: readFileSync(tls.key),
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) => {
        fronted.push((request.socket as TLSSocket).getPeerCertificate().subject);
        if (request.url?.includes('/blobs/')) {
          const { port } = storage.address() as AddressInfo;
          response.writeHead(307, { location: `https://127.0.0.1:${port}${request.url}` }).end();
          return;
        }
        const { bytes, descriptor } = image.manifest;
        const headers = { 'content-type': descriptor.mediaType, 'docker-content-digest': descriptor.digest };
        response.writeHead(200, { ...headers, 'content-length': bytes.length });
        response.end(request.method === 'HEAD' ? undefined : bytes);
      },
    ).listen(0, '127.0.0.1');
    await once(front, 'listening');
    try {
      const certDir = directoryOf({
        'ca.crt': join(tls.authority, 'ca.crt'),
        'client.cert': client.certificate,
        'client.key': client.key,
      });
      const p = await openStore();
      const host = `localhost:${(front.address() as AddressInfo).port}`;
      await p.images.pull(`${host}/app:v1`, { registry: { certDir } });
      expect(fronted).toEqual(fronted.map(() => expect.objectContaining({ CN: 'localhost' })));
      expect(shown).toHaveLength(3);
      expect(shown.map(({ subject }) => subject)).toEqual([undefined, undefined, undefined]);
    } finally {
      for (const server of [front, storage]) {
        server.closeAllConnections();
        server.close();
      }
    }
  });
});

describeWith(['openssl'], 'a certificate of ours that cannot be used', () => {
  const pull = async (certDir: string) => {
    const p = await openStore();
    // Nobody listens there, and nobody is asked: the fault is found before.
    return failedPull(p, p.images.pull('localhost:1/app:v1', { registry: { certDir } }));
  };

  function made() {
    const { certificate, key } = makeCertificate(['DNS:client']);
    return { certificate, key, other: makeCertificate(['DNS:client']).key };
  }

  it('is told with its key that is missing, and a key with its certificate that is', async () => {
    const { certificate, key } = made();
    const noKey = directoryOf({ 'client.cert': certificate });
    expect(await pull(noKey)).toMatchObject({
      code: 'ERR_REGISTRY_CONFIG',
      message: `there is no key for ${join(noKey, 'client.cert')}`,
      hint: expect.stringContaining(join(noKey, 'client.key')),
    });
    // As one names it who has read of `ca.crt`.
    const noCertificate = directoryOf({ 'client.crt': certificate, 'client.key': key });
    expect(await pull(noCertificate)).toMatchObject({
      code: 'ERR_REGISTRY_CONFIG',
      message: `there is no certificate for ${join(noCertificate, 'client.key')}`,
      hint: expect.stringContaining('client.cert; files named *.crt are authorities'),
    });
  });

  it('is told by the file that is at fault, and why', async () => {
    const { certificate, key, other } = made();
    const rsa = join(temporaryDirectory(), 'rsa.key');
    openssl('genrsa', '-out', rsa, '2048');
    const locked = join(temporaryDirectory(), 'locked.key');
    openssl('pkey', '-in', key, '-aes256', '-passout', 'pass:secret', '-out', locked);
    const damaged = join(temporaryDirectory(), 'damaged');
    for (const [keyFile, why] of [
      [other, 'not the key of'],
      [rsa, 'not the key of'],
      [locked, 'passphrase'],
      [certificate, 'holds no private key'],
    ] as const) {
      const directory = directoryOf({ 'client.cert': certificate, 'client.key': keyFile });
      const error = await pull(directory);
      expect(error).toMatchObject({ code: 'ERR_REGISTRY_CONFIG', details: { path: join(directory, 'client.key') } });
      expect(error.message).toContain(why);
      expect(error.hint).toBeDefined();
    }
    writeFileSync(damaged, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    for (const directory of [
      directoryOf({ 'client.cert': damaged, 'client.key': key }),
      directoryOf({ 'ca.crt': damaged }),
    ]) {
      expect(await pull(directory)).toMatchObject({
        code: 'ERR_REGISTRY_CONFIG',
        message: expect.stringContaining('damaged'),
      });
    }
  });

  it('is told when its key cannot be read', async () => {
    const { certificate } = made();
    const directory = directoryOf({ 'client.cert': certificate });
    mkdirSync(join(directory, 'client.key'));
    expect(await pull(directory)).toMatchObject({
      code: 'ERR_REGISTRY_CONFIG',
      message: `cannot read ${join(directory, 'client.key')}: it is a directory, not a regular file`,
      hint: expect.stringContaining('who may read it'),
    });
  });
});

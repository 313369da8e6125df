import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { makeCertificate } from '../helpers/certificates.js';
import { startFaultProxy } from '../helpers/fault-proxy.js';
import { startForwardProxy } from '../helpers/forward-proxy.js';
import { freePort, startRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { failedPull, largeImage } from './pulling.js';

const image = buildImage([buildLayer([{ path: 'a', content: 'a' }]), buildLayer([{ path: 'b', content: 'b' }])]);
const SECRET = 'p@ss:wörd%of tests';
const ENCODED = encodeURIComponent(SECRET);
const AUTHORIZATION = `Basic ${Buffer.from(`some one:${SECRET}`).toString('base64')}`;

/** A `--hosts-dir` with what `hosts.toml` says of one registry. */
function hostsDirOf(host: string, toml: string): string {
  const hostsDir = temporaryDirectory();
  mkdirSync(join(hostsDir, host));
  writeFileSync(join(hostsDir, host, 'hosts.toml'), toml);
  return hostsDir;
}

async function registryOn(setup: Parameters<typeof startRegistry>[0] = {}) {
  const registry = await startRegistry(setup);
  await registry.push('app', 'v1', image);
  return registry;
}

describeWith(['root', 'docker-registry', 'openssl'], 'the proxy of the environment', () => {
  it('lays a tunnel to a registry with TLS, whose name it alone knows, and is shown the credentials of its URL', async () => {
    const tls = makeCertificate(['DNS:registry.invalid', 'DNS:localhost']);
    const { port } = await registryOn({ tls });
    const proxy = await startForwardProxy();
    proxy.authorization = AUTHORIZATION;
    const { run } = newStore();
    const pull = ['pull', `registry.invalid:${port}/app:v1`, '--cert-dir', tls.authority];
    const pulled = await run(pull, { env: { HTTPS_PROXY: `http://some%20one:${ENCODED}@${proxy.host}` } });
    expect(pulled, pulled.stderr).toMatchObject({ status: 0 });
    expect(new Set(proxy.seen)).toEqual(new Set([`CONNECT registry.invalid:${port}`]));
  });

  it('passes on the requests to a registry without TLS', async () => {
    const { port } = await registryOn();
    const proxy = await startForwardProxy();
    proxy.authorization = AUTHORIZATION;
    const hostsDir = hostsDirOf('registry.invalid', `server = "http://registry.invalid:${port}"\n`);
    const { run } = newStore();
    const pulled = await run(['pull', 'registry.invalid/app:v1', '--hosts-dir', hostsDir], {
      env: { http_proxy: `http://some%20one:${ENCODED}@${proxy.host}` },
    });
    expect(pulled, pulled.stderr).toMatchObject({ status: 0 });
    // Five answers: where the tag points, the manifest, the config and the two layers.
    expect(proxy.seen).toHaveLength(5);
    for (const seen of proxy.seen) expect(seen).toMatch(/^(?:HEAD|GET) http:\/\/registry\.invalid:\d+\/v2\/app\//);
  });

  it('is for its own scheme alone, and not for what no_proxy names', async () => {
    // An address that leads to this machine and is none of loopback's.
    const { port } = await registryOn();
    const proxy = await startForwardProxy();
    const source = `0.0.0.0:${port}/app:v1`;
    const hostsDir = hostsDirOf(`0.0.0.0:${port}`, `server = "http://0.0.0.0:${port}"\n`);
    const url = `http://${proxy.host}`;
    for (const env of [
      { https_proxy: url },
      { http_proxy: url, no_proxy: `other.example,0.0.0.0:${port}` },
      { HTTP_PROXY: url, NO_PROXY: '0.0.0.0/8' },
    ]) {
      const pulled = await newStore().run(['pull', source, '--hosts-dir', hostsDir], { env });
      expect(pulled, pulled.stderr).toMatchObject({ status: 0 });
      expect(proxy.seen, JSON.stringify(env)).toEqual([]);
    }
    await newStore().run(['pull', source, '--hosts-dir', hostsDir], {
      env: { HTTP_PROXY: url, NO_PROXY: '10.0.0.0/8' },
    });
    expect(proxy.seen.length).toBeGreaterThan(0);
  });

  it('is named by the error when it is down, without its password, and the registry is not blamed', async () => {
    const proxy = `localhost:${await freePort()}`;
    const { run } = newStore();
    const env = { https_proxy: `http://someone:${ENCODED}@${proxy}` };
    const { status, stderr } = await run(['pull', 'registry.invalid/app:v1', '--json', '--debug'], { env });
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      error: {
        code: 'ERR_REGISTRY_UNREACHABLE',
        message: expect.stringContaining(
          `from registry.invalid by way of the proxy http://${proxy}: nobody listens there`,
        ),
        hint: expect.stringContaining('https_proxy'),
        details: { host: 'registry.invalid', proxy: `http://${proxy}`, errno: 'ECONNREFUSED' },
      },
    });
    for (const secret of [SECRET, ENCODED, Buffer.from(`someone:${SECRET}`).toString('base64')])
      expect(stderr).not.toContain(secret);
  });

  it('is an error that names the variable when it is no URL, or speaks SOCKS', async () => {
    for (const [https_proxy, why] of [
      ['http://someone:secret@', 'it is no URL of a proxy'],
      ['socks5://someone:secret@localhost:1080', 'SOCKS is not understood'],
    ] as const) {
      const { status, stderr } = await newStore().run(['pull', 'registry.invalid/app:v1'], { env: { https_proxy } });
      expect(status).toBe(1);
      expect(stderr).toContain(`the proxy in https_proxy cannot be used: ${why}`);
      expect(stderr).not.toContain('secret');
    }
  });
});

describeWith(['root', 'docker-registry', 'openssl'], 'the proxy of a host in hosts.toml', () => {
  async function bench(setup: Parameters<typeof startRegistry>[0] = {}) {
    const registry = await registryOn(setup);
    const proxy = await startForwardProxy();
    const { port } = registry;
    const scheme = setup.tls === undefined ? 'http' : 'https';
    const hostsDir = hostsDirOf(
      'registry.invalid',
      `server = "${scheme}://localhost:${port}"\nproxy = "http://${proxy.host}/"\ndial_timeout = "1s"\n` +
        (setup.tls === undefined ? '' : `ca = "${join(setup.tls.authority, 'ca.crt')}"\n`),
    );
    const p = await openStore({ registry: { hostsDir, retries: 2 } });
    return { registry, proxy, hostsDir, p, source: 'registry.invalid/app:v1' };
  }

  it('counts whatever the environment says, and for loopback too', async () => {
    const { proxy, hostsDir, source, registry } = await bench({ tls: makeCertificate() });
    const { run } = newStore();
    const env = { NO_PROXY: '*', HTTPS_PROXY: `http://localhost:${await freePort()}` };
    const pulled = await run(['pull', source, '--hosts-dir', hostsDir], { env });
    expect(pulled, pulled.stderr).toMatchObject({ status: 0 });
    expect(new Set(proxy.seen)).toEqual(new Set([`CONNECT localhost:${registry.port}`]));
  });

  it('is gone by where the host sends us on to', async () => {
    const { registry, proxy, hostsDir, p, source } = await bench();
    const [front, storage] = [await startFaultProxy(registry), await startFaultProxy(registry)];
    front.fault = ({ url }) =>
      url.includes('/blobs/')
        ? { kind: 'answer', status: 307, headers: { location: `http://${storage.host}${url}` } }
        : undefined;
    const file = join(hostsDir, 'registry.invalid', 'hosts.toml');
    writeFileSync(file, `server = "http://${front.host}"\nproxy = "http://${proxy.host}"\n`);
    await p.images.pull(source);
    expect(storage.blobs()).toHaveLength(3);
    expect(proxy.seen.filter((seen) => seen.includes(storage.host))).toHaveLength(3);
  });

  it('may break in the middle of a layer, which goes on with the byte that is missing', async () => {
    const { image: large, layer } = largeImage(2 * 1024 * 1024);
    const { registry, proxy, hostsDir, p, source } = await bench();
    await registry.push('app', 'v1', large);
    const faulty = await startFaultProxy(registry);
    let cuts = 0;
    faulty.fault = ({ url }) =>
      url.includes(layer.digest) && cuts++ < 2 ? { kind: 'cut', after: 500_000 } : undefined;
    const file = join(hostsDir, 'registry.invalid', 'hosts.toml');
    writeFileSync(file, `server = "http://${faulty.host}"\nproxy = "http://${proxy.host}"\n`);
    await p.images.pull(source);
    expect(faulty.seen.filter(({ url }) => url.includes(layer.digest)).map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=500000-',
      'bytes=1000000-',
    ]);
  });

  it.each([
    ['https', 'a tunnel'],
    ['http', 'a request'],
  ])('that wants to know who asks for %s is named by the error, which is told at once', async (scheme) => {
    const { proxy, p, source } = await bench(scheme === 'https' ? { tls: makeCertificate() } : {});
    proxy.authorization = AUTHORIZATION;
    expect(await failedPull(p, p.images.pull(source))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      message: expect.stringContaining(`the proxy http://${proxy.host}: it wants to know who asks`),
      hint: expect.stringContaining('NAME:PASSWORD'),
      details: { status: 407 },
    });
    expect(proxy.seen).toHaveLength(1);
  });

  it('that lays no tunnel is named by the error, after trying again where that may help', async () => {
    const { proxy, p, source } = await bench({ tls: makeCertificate() });
    proxy.refusal = () => 403;
    expect(await failedPull(p, p.images.pull(source))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      message: expect.stringContaining('it makes no connection: status 403'),
      details: { proxy: `http://${proxy.host}`, status: 403 },
    });
    expect(proxy.seen).toHaveLength(1);
    proxy.refusal = () => 503;
    await failedPull(p, p.images.pull(source));
    expect(proxy.seen).toHaveLength(4);
    proxy.refusal = () => (proxy.seen.length < 6 ? 503 : undefined);
    await p.images.pull(source);
  });

  it('that takes the connection and says nothing is named by the error when dial_timeout is over', async () => {
    const { proxy, p, source } = await bench({ tls: makeCertificate() });
    proxy.refusal = () => 'silence';
    expect(await failedPull(p, p.images.pull(source, { registry: { retries: 0 } }))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      message: expect.stringContaining(`the proxy http://${proxy.host}: it does not take the connection`),
    });
  });

  it('may be spoken to over TLS itself, with an authority of its own', async () => {
    const tls = makeCertificate();
    const registry = await registryOn({ tls });
    const secure = await startForwardProxy(tls);
    const ca = join(tls.authority, 'ca.crt');
    const settings = (more: string) =>
      hostsDirOf('registry.invalid', `server = "https://${registry.host}"\nproxy = "https://${secure.host}"\n${more}`);
    const p = await openStore({ registry: { retries: 0 } });
    const source = 'registry.invalid/app:v1';
    expect(await failedPull(p, p.images.pull(source, { registry: { hostsDir: settings('') } }))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      message: expect.stringContaining(
        `the proxy https://${secure.host}: its certificate is signed by an unknown authority`,
      ),
    });
    await p.images.pull(source, { registry: { hostsDir: settings(`ca = "${ca}"\n`) } });
    expect(secure.seen.length).toBeGreaterThan(0);
  });

  it('that is down makes a mirror be passed over', async () => {
    const { registry, p, source } = await bench();
    const hostsDir = hostsDirOf(
      'registry.invalid',
      `server = "http://${registry.host}"\n[host."http://mirror.invalid"]\nproxy = "http://localhost:${await freePort()}"\n`,
    );
    const passedOver: unknown[] = [];
    p.events.on('warning', ({ code, details }) => passedOver.push([code, details['host'], details['reason']]));
    await p.images.pull(source, { registry: { hostsDir } });
    expect(passedOver[0]).toEqual(['HOST_PASSED_OVER', 'mirror.invalid', 'ERR_REGISTRY_UNREACHABLE']);
  });
});

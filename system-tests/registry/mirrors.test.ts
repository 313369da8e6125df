import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { makeCertificate } from '../helpers/certificates.js';
import { type FaultProxy, startFaultProxy } from '../helpers/fault-proxy.js';
import { freePort, startRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { failedPull, largeImage } from './pulling.js';

const { image, layer } = largeImage(2 * 1024 * 1024);
const config = image.config.descriptor.digest;

interface Mirrored {
  readonly p: Provisioner;
  readonly registry: FaultProxy;
  readonly mirror: FaultProxy;
  readonly source: string;
  readonly hostsDir: string;
  /** Codes of the hosts that were passed over. */
  readonly passedOver: string[];
  setHosts(toml: string): void;
}

/** A registry and a mirror of it, which `hosts.toml` names. */
async function mirrored(): Promise<Mirrored> {
  const stored = await startRegistry();
  await stored.push('team/app', 'v1', image);
  const [registry, mirror] = [await startFaultProxy(stored), await startFaultProxy(stored)];
  const hostsDir = temporaryDirectory();
  const directory = join(hostsDir, registry.host);
  mkdirSync(directory);
  const setHosts = (toml: string) => writeFileSync(join(directory, 'hosts.toml'), toml);
  setHosts(
    `server = "http://${registry.host}"\n[host."http://${mirror.host}"]\n  capabilities = ["pull", "resolve"]\n`,
  );
  const p = await openStore({ registry: { hostsDir, stallTimeout: 1000, retries: 1 } });
  const passedOver: string[] = [];
  p.events.on('warning', ({ details }) => passedOver.push(String(details['reason'])));
  return { p, registry, mirror, source: `${registry.host}/team/app:v1`, hostsDir, passedOver, setHosts };
}

const isLayer = ({ url }: { readonly url: string }) => url.includes(layer.digest);

describeWith(['root', 'docker-registry'], 'mirrors of a registry', () => {
  it('are asked instead of the registry, and told which one is meant', async () => {
    const { p, registry, mirror, source } = await mirrored();
    const stored = await p.images.pull(source);
    expect(stored.names).toEqual([source]);
    expect(registry.seen).toEqual([]);
    expect(mirror.seen).toHaveLength(4);
    for (const { url } of mirror.seen) expect(url).toContain(`?ns=${encodeURIComponent(registry.host)}`);
  });

  it('are not asked where a tag points when they are not trusted with that', async () => {
    const { p, registry, mirror, source, setHosts } = await mirrored();
    setHosts(`server = "http://${registry.host}"\n[host."http://${mirror.host}"]\n  capabilities = ["pull"]\n`);
    await p.images.pull(source);
    expect(registry.seen.map(({ method }) => method)).toEqual(['HEAD']);
    expect(mirror.seen.map(({ method }) => method)).toEqual(['GET', 'GET', 'GET']);
  });

  it('are read anew from hosts.toml at each pull', async () => {
    const { p, registry, mirror, source, setHosts } = await mirrored();
    setHosts(`server = "http://${registry.host}"\n`);
    await p.images.pull(source);
    expect(mirror.seen).toEqual([]);
    setHosts(`[host."http://${mirror.host}"]\n`);
    await p.images.pull(source);
    expect(mirror.seen).toHaveLength(1);
  });

  it.each([
    ['is down', undefined, 'ERR_REGISTRY_UNREACHABLE'],
    ['answers 429', { kind: 'answer', status: 429, headers: { 'retry-after': '30' } }, 'ERR_REGISTRY_BUSY'],
    ['answers 500', { kind: 'answer', status: 500 }, 'ERR_REGISTRY_FAILED'],
    [
      'wants a password',
      { kind: 'answer', status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
      'ERR_REGISTRY_UNAUTHORIZED',
    ],
    ['redirects in circles', { kind: 'answer', status: 302, headers: { location: '' } }, 'ERR_REGISTRY_FAILED'],
  ] as const)('are passed over at once when one %s', async (_, fault, code) => {
    const { p, registry, mirror, source, passedOver, setHosts } = await mirrored();
    if (fault === undefined)
      setHosts(`[host."http://localhost:${await freePort()}"]\n[host."http://${mirror.host}"]\n`);
    else {
      mirror.fault = () => fault;
      setHosts(`server = "http://${registry.host}"\n[host."http://${mirror.host}"]\n`);
    }
    const started = performance.now();
    await p.images.pull(source);
    expect(passedOver).toEqual([code]);
    // What HEAD was refused, GET is asked for. Then it is not asked again in this pull.
    if (fault !== undefined)
      expect(mirror.seen.length).toBeLessThanOrEqual(code === 'ERR_REGISTRY_FAILED' && fault.status === 302 ? 11 : 2);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it('that lack an image, or only its layer, are passed over without being blamed for the rest', async () => {
    const { p, registry, mirror, source, passedOver } = await mirrored();
    mirror.fault = (request) => (isLayer(request) ? { kind: 'answer', status: 404 } : undefined);
    await p.images.pull(source);
    expect(registry.seen.map(({ url }) => url.split('/').at(-1))).toEqual([layer.digest]);
    expect(passedOver).toEqual(['ERR_BLOB_NOT_FOUND']);
  });

  it('that give wrong bytes for a layer lose it to the next host, and nothing of it stays', async () => {
    const { p, registry, mirror, source, passedOver } = await mirrored();
    mirror.fault = (request) => (isLayer(request) ? { kind: 'flip', at: 1_000_000 } : undefined);
    await p.images.pull(source);
    expect(registry.seen.map(({ url, headers }) => [url.split('/').at(-1), headers.range])).toEqual([
      [layer.digest, undefined],
    ]);
    expect(passedOver).toEqual(['ERR_DIGEST_MISMATCH']);
  });

  it('that give wrong bytes for a document are not asked for anything more', async () => {
    const { p, registry, mirror, source, passedOver } = await mirrored();
    mirror.fault = ({ url }) => (url.includes(config) ? { kind: 'flip', at: 2 } : undefined);
    await p.images.pull(source);
    expect(passedOver).toEqual(['ERR_DIGEST_MISMATCH']);
    expect(mirror.seen.filter(isLayer)).toEqual([]);
    expect(registry.seen.filter(isLayer)).toHaveLength(1);
  });

  it('that state another size are passed over', async () => {
    const { p, mirror, source, passedOver } = await mirrored();
    mirror.fault = (request) => (isLayer(request) ? { kind: 'length', add: 7 } : undefined);
    await p.images.pull(source);
    expect(passedOver).toEqual(['ERR_SIZE_MISMATCH']);
  });

  it('that break off again and again leave the rest of a layer to the next host', async () => {
    const { p, registry, mirror, source } = await mirrored();
    let connections = 0;
    mirror.fault = (request) => {
      if (!isLayer(request)) return undefined;
      connections++;
      return connections === 1 ? { kind: 'cut', after: 1_000_000 } : { kind: 'answer', status: 503 };
    };
    await p.images.pull(source);
    expect(registry.seen.filter(isLayer).map(({ headers }) => headers.range)).toEqual(['bytes=1000000-']);
  });

  it('and the registry, when all lie, fail the pull with what was expected and found', async () => {
    const { p, registry, mirror, source } = await mirrored();
    registry.fault = (request) => (isLayer(request) ? { kind: 'flip', at: 100 } : undefined);
    mirror.fault = registry.fault;
    const error = await failedPull(p, p.images.pull(source));
    expect(error).toMatchObject({ code: 'ERR_DIGEST_MISMATCH', details: { expected: layer.digest } });
    registry.fault = () => undefined;
    await p.images.pull(source);
  });

  it('are an error when hosts.toml makes no sense', async () => {
    const { p, source, setHosts } = await mirrored();
    for (const toml of ['host = [', 'ca = 5', '[host."ftp://x"]', '[host."http://a:secret@b"]', 'ca = "missing.crt"']) {
      setHosts(toml);
      const error = await failedPull(p, p.images.pull(source));
      expect(error, toml).toMatchObject({ code: 'ERR_REGISTRY_CONFIG', details: { path: expect.any(String) } });
      expect(error.message).not.toContain('secret');
    }
  });
});

describeWith(['root', 'docker-registry', 'openssl'], 'hosts.toml', () => {
  it('gives a mirror its authority, and the command line a directory of such files', async () => {
    const tls = makeCertificate();
    const mirror = await startRegistry({ tls });
    await mirror.push('app', 'v1', buildImage([buildLayer([{ path: 'a', content: 'a' }])]));
    const hostsDir = temporaryDirectory();
    mkdirSync(join(hostsDir, 'registry.invalid_5000_'));
    writeFileSync(
      join(hostsDir, 'registry.invalid_5000_', 'hosts.toml'),
      `[host."https://${mirror.host}"]\n  ca = "${join(tls.authority, 'ca.crt')}"\n`,
    );
    const { run } = newStore();
    const outcome = await run(['pull', 'registry.invalid:5000/app:v1', '--hosts-dir', hostsDir]);
    expect(outcome).toMatchObject({ status: 0 });
  });
});

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildIndex, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { startFaultProxy } from '../helpers/fault-proxy.js';
import { startRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore } from '../helpers/test-store.js';

const base = buildLayer([{ path: 'base.txt', content: 'base' }]);
const middle = buildLayer([{ path: 'middle.txt', content: 'middle' }], { compression: 'zstd' });
const top = (version: string) => buildLayer([{ path: 'version', content: version }]);
const v1 = buildImage([base, middle, top('v1')]);
const v2 = buildImage([base, middle, top('v2')]);

function layerRequests(seen: readonly { readonly url: string }[], image: typeof v1): string[] {
  const digests = image.layers.map(({ digest }) => digest);
  return seen.flatMap(({ url }) => digests.filter((digest) => url.endsWith(`/blobs/${digest}`)));
}

async function version(p: Provisioner, image: string): Promise<string> {
  const { rootfs } = await p.provision('job', image, { pullPolicy: 'never' });
  const text = readFileSync(join(rootfs, 'version'), 'utf8');
  await p.destroy('job');
  return text;
}

describeWith(['root', 'overlay', 'docker-registry'], 'pulling from a registry', () => {
  it('stores the image under its name, with the tree of its layers', async () => {
    const registry = await startRegistry();
    const id = await registry.push('team/app', 'v1', v1);
    const p = await openStore();
    const image = await p.images.pull(`docker://${registry.host}/team/app:v1`);
    expect(image).toMatchObject({ id, names: [`${registry.host}/team/app:v1`] });
    expect(await version(p, `${registry.host}/team/app:v1`)).toBe('v1');
    expect(readdirSync(join(p.root, 'staging'))).toEqual([]);
  });

  it('fetches only the new top layer of a second version', async () => {
    const registry = await startRegistry();
    await registry.push('app', 'v1', v1);
    await registry.push('app', 'v2', v2);
    const proxy = await startFaultProxy(registry);
    const p = await openStore();
    await p.images.pull(`${proxy.host}/app:v1`);
    expect(layerRequests(proxy.seen, v1).sort()).toEqual(v1.layers.map(({ digest }) => digest).sort());
    proxy.seen.length = 0;
    await p.images.pull(`${proxy.host}/app:v2`);
    expect(layerRequests(proxy.seen, v2)).toEqual([v2.layers[2]?.digest]);
    expect(await version(p, `${proxy.host}/app:v2`)).toBe('v2');
  });

  it('asks once where a tag points when the image is stored, and nothing at all for a digest', async () => {
    const registry = await startRegistry();
    const id = await registry.push('app', 'v1', v1);
    const proxy = await startFaultProxy(registry);
    const p = await openStore();
    await p.images.pull(`${proxy.host}/app:v1`);
    proxy.seen.length = 0;
    await p.images.pull(`${proxy.host}/app:v1`);
    expect(proxy.seen.map(({ method, url }) => `${method} ${url}`)).toEqual(['HEAD /v2/app/manifests/v1']);
    proxy.seen.length = 0;
    expect((await p.images.pull(`${proxy.host}/app@${id}`)).id).toBe(id);
    expect(proxy.seen).toEqual([]);
  });

  it('remembers which image an index holds for the platform', async () => {
    const registry = await startRegistry();
    const arm = buildImage([base], { platform: { os: 'linux', architecture: 'arm64' } });
    const index = buildIndex([arm, v1]);
    const digest = await registry.push('app', 'v1', index);
    const proxy = await startFaultProxy(registry);
    const p = await openStore();
    const image = await p.images.pull(`${proxy.host}/app:v1`, { platform: 'linux/amd64' });
    expect(image.id).toBe(v1.manifest.descriptor.digest);
    proxy.seen.length = 0;
    expect((await p.images.pull(`${proxy.host}/app:v1`, { platform: 'linux/amd64' })).id).toBe(image.id);
    expect(proxy.seen.map(({ method }) => method)).toEqual(['HEAD']);
    expect((await p.images.pull(`${proxy.host}/app@${digest}`, { platform: 'linux/amd64' })).id).toBe(image.id);
    expect(proxy.seen).toHaveLength(1);
    expect((await p.images.pull(`${proxy.host}/app:v1`, { platform: 'linux/arm64' })).platform).toBe('linux/arm64');
  });

  it('asks for no layer that it has unpacked from another compression', async () => {
    const registry = await startRegistry();
    const [gzip, zstd] = [
      buildLayer([{ path: 'version', content: 'same' }]),
      buildLayer([{ path: 'version', content: 'same' }], { compression: 'zstd' }),
    ];
    expect(gzip.digest).not.toBe(zstd.digest);
    await registry.push('app', 'gzip', buildImage([gzip]));
    await registry.push('app', 'zstd', buildImage([zstd]));
    const proxy = await startFaultProxy(registry);
    const p = await openStore();
    await p.images.pull(`${proxy.host}/app:gzip`);
    await p.images.pull(`${proxy.host}/app:zstd`);
    expect(proxy.seen.filter(({ url }) => url.endsWith(zstd.digest))).toEqual([]);
  });

  it('pulls what is missing when a container is provisioned, and nothing when it is there', async () => {
    const registry = await startRegistry();
    await registry.push('app', 'v1', v1);
    const proxy = await startFaultProxy(registry);
    const p = await openStore();
    const first = await p.provision('one', `docker://${proxy.host}/app:v1`);
    expect(readFileSync(join(first.rootfs, 'version'), 'utf8')).toBe('v1');
    proxy.seen.length = 0;
    await p.provision('two', `docker://${proxy.host}/app:v1`);
    await p.provision('three', `${proxy.host}/app:v1`);
    expect(proxy.seen).toEqual([]);
  });

  it('says what is not there', async () => {
    const registry = await startRegistry();
    await registry.push('app', 'v1', v1);
    const p = await openStore();
    await expect(p.images.pull(`${registry.host}/app:v9`)).rejects.toMatchObject({
      code: 'ERR_SOURCE_NOT_FOUND',
      message: expect.stringContaining('app:v9'),
    });
    await expect(p.images.pull(`${registry.host}/app:v1`, { platform: 'linux/arm64' })).rejects.toMatchObject({
      code: 'ERR_PLATFORM_NOT_OFFERED',
    });
    await expect(p.images.pull('localhost:1/app')).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      message: expect.stringContaining('localhost:1'),
    });
  });
});

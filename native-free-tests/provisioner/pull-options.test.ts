import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';
import { serveImages } from '../helpers/scripted-registry.js';

const image = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);

describe('the largest image that is allowed', () => {
  it('is held against whatever is pulled, though every layer of it is stored', async () => {
    const { host } = await serveImages({ app: image });
    const p = await openMemoryStore();
    for (const source of [`${host}/app:v1`, await layoutOf(image)]) {
      await p.images.pull(source);
      const refused = { code: 'ERR_LIMIT_EXCEEDED', details: { option: 'maxImageBytes' } };
      await expect(p.images.pull(source, { maxImageBytes: 1 })).rejects.toMatchObject(refused);
      await expect(p.provision('job', source, { maxImageBytes: 1, pullPolicy: 'always' })).rejects.toMatchObject(
        refused,
      );
    }
  });

  it('is not held against an image that is stored and need not be pulled', async () => {
    const { host } = await serveImages({ app: image });
    const p = await openMemoryStore();
    const source = `${host}/app:v1`;
    const missing = { maxImageBytes: 1, pullPolicy: 'missing' } as const;
    await expect(p.images.pull(source, missing)).rejects.toMatchObject({ code: 'ERR_LIMIT_EXCEEDED' });
    const { id } = await p.images.pull(source);
    expect((await p.images.pull(source, missing)).id).toBe(id);
    expect((await p.images.pull(source, { maxImageBytes: 1, pullPolicy: 'never' })).id).toBe(id);
    expect((await p.provision('job', source, missing)).image.id).toBe(id);
    expect(await p.images.request(source, { maxImageBytes: 1 })).toEqual({ state: 'ready', image: id });
  });
});

describe('a file or directory that a call names for registries', () => {
  const calls: Readonly<Record<string, (p: Provisioner, source: string, registry: object) => Promise<unknown>>> = {
    pull: (p, source, registry) => p.images.pull(source, { registry }),
    'pull what is stored': (p, _, registry) => p.images.pull('app', { registry, pullPolicy: 'missing' }),
    provision: (p, source, registry) => p.provision('job', source, { registry }),
    'provision what is stored': (p, _, registry) => p.provision('job', 'app', { registry }),
    request: (p, source, registry) => p.images.request(source, { registry }),
    availability: (p, source, registry) => p.images.availability(source, { registry }),
    check: (p, _, registry) => p.store.check({ registry }),
  };

  it.each(Object.entries(calls))('has to be there for %s, though no registry is asked', async (_, call) => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    await p.images.pull(source, { name: 'app' });
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '{}');
    for (const option of ['authFile', 'certDir', 'hostsDir']) {
      for (const path of ['/nonexistent/x', `${file}/below`, ...(option === 'authFile' ? [] : [file])]) {
        await expect(call(p, source, { [option]: path }), `${option} ${path}`).rejects.toMatchObject({
          code: 'ERR_REGISTRY_CONFIG',
          message: expect.stringContaining(path),
          hint: expect.stringContaining(option),
          details: { path, option },
        });
      }
    }
    expect(await p.containers.list()).toEqual([]);
  });

  it('has to be there when a registry is asked', async () => {
    const { host } = await serveImages({ app: image });
    const p = await openMemoryStore();
    await expect(p.images.pull(`${host}/app:v1`, { registry: { hostsDir: '/nonexistent/x' } })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_CONFIG',
    });
  });

  it.each(Object.entries(calls))('is in nobody’s way in %s when it is there', async (_, call) => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    await p.images.pull(source, { name: 'app' });
    const directory = temporaryDirectory();
    const authFile = join(directory, 'auth.json');
    writeFileSync(authFile, '{}');
    mkdirSync(join(directory, 'certs'));
    await call(p, source, { authFile, certDir: join(directory, 'certs'), hostsDir: directory });
  });

  it('may be missing where it was named for all calls, and no registry is asked', async () => {
    const p = await openMemoryStore({ registry: { authFile: '/nonexistent/x', hostsDir: '/nonexistent/y' } });
    await p.images.pull(await layoutOf(image), { name: 'app' });
    await p.provision('job', 'app');
  });
});

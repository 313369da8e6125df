import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';

const image = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);

describeWith(['root', 'overlay', 'mount'], 'a store over which a volume is mounted while an agent has it open', () => {
  it('is left alone, and so is the volume, in words of its own, until it is unmounted', async () => {
    const { path } = mountFileSystem('tmpfs');
    const p = await openStore({ root: join(path, 'store') });
    await pullImages(p, { 'app:v1': image });
    await p.provision('job-1', 'app:v1');
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image, refName: 'it' }]);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs', p.root]);
    for (const work of [
      () => p.images.pull(`oci:${layout}`),
      () => p.provision('job-2', 'app:v1'),
      () => p.destroy('job-1'),
      () => p.pruneImages(),
      () => p.recover({ knownContainerIds: [] }),
      () => p.store.check({ repair: true }),
      () => p.store.swept(),
      () => p.images.list(),
    ]) {
      await expect(work()).rejects.toMatchObject({
        code: 'ERR_STORE_REPLACED',
        message: expect.stringContaining('mounted over'),
      });
    }
    expect(readdirSync(p.root)).toEqual([]);
    execFileSync('umount', [p.root]);
    expect(await p.containers.list()).toMatchObject([{ id: 'job-1', rootfses: [{ state: 'ready' }] }]);
    expect((await p.store.check()).findings).toEqual([]);
    expect(await p.destroy('job-1')).toBe(true);
  });

  it('gets nothing from a pull that was under way, nor does the volume', async () => {
    const { path } = mountFileSystem('tmpfs');
    const p = await openStore({ root: join(path, 'store') });
    const many = Array.from({ length: 20_000 }, (_, index) => ({ path: `f${index}`, content: 'x' }));
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image: buildImage([buildLayer(many)]), refName: 'it' }]);
    const pull = p.images.pull(`oci:${layout}`, { name: 'it' });
    await new Promise((resolve) => p.events.once('layerProgress', resolve));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs', p.root]);
    await expect(pull).rejects.toMatchObject({ code: 'ERR_STORE_REPLACED' });
    expect(readdirSync(p.root)).toEqual([]);
    execFileSync('umount', [p.root]);
    await p.recover();
    await p.store.swept();
    expect((await p.store.check()).findings).toEqual([]);
    expect(await p.images.list()).toEqual([]);
  });

  it('writes nothing to the volume when it is closed', async () => {
    const { path } = mountFileSystem('tmpfs');
    const p = await openStore({ root: join(path, 'store') });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs', p.root]);
    await p.close();
    expect(readdirSync(p.root)).toEqual([]);
    execFileSync('umount', [p.root]);
  });
});

describeWith(['root'], 'a store that was moved while an agent has it open', () => {
  it('is told, and not begun anew in its old place', async () => {
    const p = await openStore();
    await pullImages(p, { 'app:v1': image });
    renameSync(p.root, `${p.root}-moved`);
    await expect(p.provision('job-1', 'app:v1')).rejects.toMatchObject({
      code: 'ERR_STORE_REPLACED',
      message: expect.stringContaining('moved, removed or unmounted'),
    });
    mkdirSync(p.root);
    await expect(p.recover()).rejects.toMatchObject({ code: 'ERR_STORE_REPLACED' });
    expect(readdirSync(p.root)).toEqual([]);
  });
});

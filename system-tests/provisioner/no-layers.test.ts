import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { buildImage, writeDockerArchive } from '../../native-free-tests/helpers/image-builder.js';
import { reboot } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';

/** `FROM scratch` and metadata. */
const nothing = buildImage([], { config: { Cmd: ['/x'] } });
/** As programs write it whose empty lists are null. */
const none = buildImage([], {
  configFields: { rootfs: { type: 'layers', diff_ids: null } },
  manifestFields: { layers: null },
});

async function stored(): Promise<Provisioner> {
  const p = await openStore();
  await pullImages(p, { nothing });
  return p;
}

const look = (rootfs: string) => {
  const { mode, uid, gid, mtimeMs } = statSync(rootfs);
  return { names: readdirSync(rootfs), mode: (mode & 0o7777).toString(8), uid, gid, mtimeMs };
};

describeWith(['root', 'overlay'], 'an image without layers', () => {
  test.each(['overlay', 'copy', 'bind'] as const)(
    'is by %s an empty rootfs, with the attributes of a root that no layer describes, and leaves nothing when it is destroyed',
    async (backend) => {
      const p = await stored();
      const { rootfs, runtime } = await p.provision('job', 'nothing', { backend });
      expect(look(rootfs)).toEqual({ names: [], mode: '755', uid: 0, gid: 0, mtimeMs: 0 });
      expect(runtime.cmd).toEqual(['/x']);
      if (backend === 'bind') expect(() => writeFileSync(join(rootfs, 'x'), '')).toThrow('EROFS');
      else writeFileSync(join(rootfs, 'x'), 'x');
      expect(await p.destroy('job')).toBe(true);
      await p.store.swept();
      await expectNoContainers(p);
      expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
    },
  );

  test('is mounted again after a reboot, with what was changed in it', async () => {
    const p = await stored();
    const overlay = await p.provision('overlay', 'nothing', { backend: 'overlay' });
    const bind = await p.provision('bind', 'nothing', { backend: 'bind' });
    writeFileSync(join(overlay.rootfs, 'x'), 'written');
    const again = await reboot(p);
    expect(existsSync(join(overlay.rootfs, 'x'))).toBe(false);
    expect(await again.recover()).toMatchObject({ untrusted: [], remounted: [overlay.rootfs, bind.rootfs] });
    expect(readFileSync(join(overlay.rootfs, 'x'), 'utf8')).toBe('written');
    expect(readdirSync(bind.rootfs)).toEqual([]);
  });

  test('is an image like any other for all that looks at the store', async () => {
    const p = await stored();
    const { rootfs } = await p.provision('job', 'nothing');
    expect(await p.images.list()).toMatchObject([
      { names: ['docker.io/library/nothing:latest'], layers: [], bytes: 0 },
    ]);
    expect(await p.images.get('nothing')).toMatchObject({ layers: [] });
    expect(await p.store.check({ full: true, repair: true })).toMatchObject({ sound: true, findings: [] });
    expect(await p.recover()).toMatchObject({ forgottenImages: [], retired: [], destroyed: [], remounted: [] });
    expect(await p.containers.list()).toMatchObject([{ id: 'job', rootfses: [{ layers: [], state: 'ready' }] }]);
    expect((await p.store.usage()).images).toMatchObject([{ bytes: 0 }]);
    const du = execFileSync('du', ['-sx', '--block-size=1', p.root], { encoding: 'utf8' });
    expect((await p.store.usage()).total).toBe(Number(du.split('\t')[0]));
    expect((await p.store.why('nothing')).reasons).toMatchObject([{ kind: 'container', container: 'job' }]);
    expect(readdirSync(rootfs)).toEqual([]);
  });

  test('is kept by a prune while a container is made of it, and goes with the next one', async () => {
    const p = await stored();
    await p.provision('job', 'nothing');
    await p.pruneImages([]);
    expect(await p.images.list()).toHaveLength(1);
    await p.destroy('job');
    const { images } = await p.pruneImages([]);
    expect(images).toMatchObject([{ reasons: [] }]);
    expect(await p.images.list()).toEqual([]);
    await expect(p.provision('job', 'nothing', { pullPolicy: 'never' })).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
  });

  test('may have null where its lists are empty, and come from an archive', async () => {
    const p = await openStore();
    await pullImages(p, { none });
    expect(readdirSync((await p.provision('one', 'none')).rootfs)).toEqual([]);
    const archive = join(temporaryDirectory(), 'archive.tar');
    await writeDockerArchive(archive, [{ image: nothing, tags: ['saved:v1'] }]);
    await p.images.load(archive);
    expect(readdirSync((await p.provision('two', 'saved:v1')).rootfs)).toEqual([]);
  });
});

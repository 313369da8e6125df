import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StorePaths } from '#src/paths.js';
import { buildImage, buildTar } from '../../native-free-tests/helpers/image-builder.js';
import { reboot } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages } from '../helpers/test-store.js';

/** A layer that both of its digests name by SHA-512. @see OCI image-spec, descriptor.md, "Registered algorithms" */
function layer512(entries: Parameters<typeof buildTar>[0]) {
  const tar = buildTar(entries);
  const digest = `sha512:${createHash('sha512').update(tar).digest('hex')}`;
  return { mediaType: 'application/vnd.oci.image.layer.v1.tar', tar, blob: tar, digest, diffId: digest };
}

const base = layer512([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
// Its directory is only implied, so that the stack gets a seam.
const top = layer512([{ path: 'etc/app', content: 'v1' }]);
const app = buildImage([base, top]);

describeWith(['root', 'overlay'], 'an image whose layers are named by SHA-512', () => {
  test('is kept, found, shown, healed and taken as any other', async () => {
    let p = await openStore();
    await pullImages(p, { 'app:v1': app });
    await p.images.pin('app:v1');
    const { rootfs } = await p.provision('job', 'app:v1');
    const everything = readdirSync(join(p.root, 'layers')).sort();
    expect(everything.filter((name) => name.length === 128)).toHaveLength(2);

    p = await reboot(p);
    expect(await p.recover()).toMatchObject({ forgottenImages: [], forgottenLayers: [], retired: [], foreign: [] });
    expect(readFileSync(join(rootfs, 'etc/app'), 'utf8')).toBe('v1');
    expect(await p.recover({ knownContainerIds: ['job'] })).toMatchObject({ remounted: [], forgottenImages: [] });
    expect((await p.store.check({ full: true })).findings).toEqual([]);

    const hex = top.diffId.slice('sha512:'.length);
    for (const prefix of [hex.slice(0, 12), hex, `sha512:${hex.slice(0, 12)}`, top.diffId]) {
      expect(await p.store.why(prefix)).toMatchObject({ kind: 'layer', id: top.diffId });
    }
    expect((await p.pruneImages()).layers.filter(({ reasons }) => reasons.length === 0)).toEqual([]);

    rmSync(join(new StorePaths(p.root).layerRootfs(base.diffId), 'etc/name'));
    const healed = await p.store.check({ full: true, repair: true });
    expect(healed.findings.filter(({ code }) => code === 'LAYER_DAMAGED').map(({ outcome }) => outcome?.state)).toEqual(
      ['healed'],
    );

    expect(await p.destroy('job')).toBe(true);
    await p.images.unpin('app:v1');
    await p.images.remove('app:v1');
    await p.pruneImages();
    await p.recover();
    await p.store.swept();
    expect(readdirSync(join(p.root, 'layers'))).toEqual([]);
    expect(existsSync(join(p.root, 'parked')) ? readdirSync(join(p.root, 'parked')) : []).toEqual([]);
    await expectNoContainers(p);
  });
});

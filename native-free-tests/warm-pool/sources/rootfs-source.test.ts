import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RootfsSource } from '#src/warm-pool/sources/rootfs-source.js';
import { WarmHoldings } from '#src/warm-pool/sources/warm-holdings.js';
import { buildImage, buildLayer } from '../../helpers/image-builder.js';
import { layoutOf, namesIn } from '../../helpers/memory-store.js';
import { filled, passed, storeForPools } from '../opened-pools.js';

const image = buildImage([buildLayer([{ path: 'app', content: 'as it was' }])]);
const POOL = { kind: 'rootfs', image: 'files:1', size: 2 } as const;

async function storeWithFiles() {
  const store = await storeForPools();
  await store.provisioner.images.pull(await layoutOf(image), { name: POOL.image });
  return store;
}

describe('root filesystems that wait', () => {
  it('are handed out as they were provisioned, each once, and nothing is launched in them', async () => {
    const { open, provisioner, waiting, machine } = await storeWithFiles();
    const { pools } = await open();
    const pool = await pools.keep('files', POOL);
    await filled(pool, 2);
    expect((await waiting()).map(({ kind }) => kind)).toEqual(['rootfs', 'rootfs']);
    const claimed = [await pool.get(), await pool.get()];
    const places = claimed.map((one) => one?.root?.rootfs ?? '');
    expect(new Set(places).size).toBe(2);
    for (const place of places) expect(readFileSync(join(place, 'app'), 'utf8')).toBe('as it was');
    writeFileSync(join(places[0] ?? '', 'app'), 'changed');
    await filled(pool, 2);
    const third = await pool.get();
    expect(readFileSync(join(third?.root?.rootfs ?? '', 'app'), 'utf8')).toBe('as it was');
    expect([claimed[0]?.launch, machine.containers.size]).toEqual([undefined, 0]);
    await pool.stop();
    expect((await provisioner.containers.list()).map(({ id }) => id).sort()).toEqual(
      [...claimed, third].map((one) => one?.containerId).sort(),
    );
  });

  it('are handed out once, and never when somebody else has taken them', async () => {
    const { provisioner, waiting } = await storeWithFiles();
    const holdings = new WarmHoldings(provisioner, { pool: 'f', owner: 'default', kind: 'rootfs', key: 'k' }, 'boot');
    let made = 0;
    const newId = () => `r${++made}`;
    const source = new RootfsSource({ provisioner, holdings, newId, image: POOL.image, provision: {} });
    const { signal } = new AbortController();
    const [one, other] = [await source.create(signal), await source.create(signal)];
    const handed = await Promise.all([1, 2, 3].map(() => source.handOut(one)));
    expect(handed.filter((root) => root !== undefined)).toHaveLength(1);
    await holdings.take('r2');
    expect(await source.handOut(other)).toBeUndefined();
    expect((await waiting()).map(({ containerId }) => containerId)).toEqual(['r2']);
  });

  it('that were destroyed by somebody are replaced and not handed out', async () => {
    const { open, provisioner, waiting, look, clock } = await storeWithFiles();
    const { pools, events } = await open();
    const pool = await pools.keep('files', POOL);
    await filled(pool, 2);
    const [gone] = (await waiting()).map(({ containerId }) => containerId);
    await provisioner.destroy(gone ?? '');
    await clock.step(400);
    await look();
    await filled(pool, 2);
    expect(events).toContainEqual({
      ...{ kind: 'retired', pool: 'files', container: gone, reason: 'broken', detail: 'it is gone' },
    });
    expect([(await pool.get())?.containerId, (await pool.get())?.containerId]).not.toContain(gone);
  });

  it('of a process that has died are destroyed by the next one, since somebody may have written to them', async () => {
    const { open, provisioner, dead } = await storeWithFiles();
    const { pools, die } = await open();
    await filled(await pools.keep('files', POOL), 2);
    const before = (await provisioner.containers.list()).map(({ id }) => id);
    die();
    dead.add('files default');
    const { pools: next } = await open();
    await filled(await next.keep('files', POOL), 2);
    const now = (await provisioner.containers.list()).map(({ id }) => id);
    expect([now.length, now.filter((id) => before.includes(id))]).toEqual([2, []]);
  });

  it('are outdated when the name comes to lead to another image', async () => {
    const { open, provisioner, look } = await storeWithFiles();
    const { pools } = await open();
    const pool = await pools.keep('files', POOL);
    await filled(pool, 2);
    const changed = buildImage([buildLayer([{ path: 'app', content: 'as it is' }])]);
    await provisioner.images.pull(await layoutOf(changed), { name: POOL.image });
    await look();
    await filled(pool, 2);
    const claimed = await pool.get();
    expect(readFileSync(join(claimed?.root?.rootfs ?? '', 'app'), 'utf8')).toBe('as it is');
    await pools.close();
    expect(namesIn(provisioner, 'containers').length).toBeGreaterThan(0);
  });

  it('are not made in the place of somebody else, and what is his is left as it is', async () => {
    const { provisioner, waiting } = await storeWithFiles();
    const note = { pool: 'files', owner: 'default', kind: 'rootfs', key: 'key' } as const;
    const holdings = new WarmHoldings(provisioner, note, 'boot');
    const source = new RootfsSource({ provisioner, holdings, newId: () => 'his', image: POOL.image, provision: {} });
    const { rootfs } = await provisioner.provision('his', POOL.image);
    const refused = { code: 'ERR_CONTAINER_EXISTS' };
    await holdings.put('his');
    await expect(source.create(new AbortController().signal)).rejects.toMatchObject(refused);
    expect([existsSync(rootfs), (await waiting()).length, source.known.size]).toEqual([true, 1, 0]);
    await passed();
  });
});

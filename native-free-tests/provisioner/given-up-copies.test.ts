import { afterEach, expect, it, vi } from 'vitest';
import { ProvisionerError } from '#src/base/errors.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, namesIn, openMemoryStore } from '../helpers/memory-store.js';

const image = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);

afterEach(() => vi.restoreAllMocks());

it('a copy that failed and could not be forgotten is nobody’s any more: it keeps no destroy and no recovery waiting', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(image), { name: 'app' });
  const cannotWrite = () => Promise.reject(new ProvisionerError('ERR_STORE_BUSY', 'the records are busy'));
  for (const end of ['destroy', 'recover'] as const) {
    vi.spyOn(MemoryMetadataManager.prototype, 'finishRootfs').mockImplementationOnce(cannotWrite);
    vi.spyOn(MemoryMetadataManager.prototype, 'forgetRootfses').mockImplementationOnce(cannotWrite);
    await expect(p.provision('job', 'app')).rejects.toMatchObject({ code: 'ERR_STORE_BUSY' });
    expect((await p.containers.list()).map(({ id }) => id)).toEqual(['job']);
    if (end === 'destroy') expect(await p.destroy('job')).toBe(true);
    else expect((await p.recover()).finished).toHaveLength(1);
    expect(await p.containers.list()).toEqual([]);
    expect(namesIn(p, 'containers')).toEqual([]);
  }
});

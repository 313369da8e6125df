import { describe, expect, it } from 'vitest';
import { isProvisionerError, type ProvisionerError } from '#src/base/errors.js';
import { admit } from '#src/pulls/admission.js';

const id = `sha256:${'f'.repeat(64)}`;
const layer = (word: string, size: number) => ({
  diffId: word,
  digest: undefined,
  size,
  location: { kind: 'file', path: '/blob', offset: 0, size } as const,
});
const image = { id, layers: [layer('a', 600), layer('b', 400), layer('a', 600)] };
const plenty = { missing: ['a', 'b'], free: 1e12 };
const limits = { maxImageBytes: Number.POSITIVE_INFINITY, freeSpaceReserve: 0 };

function refusal(work: () => void): ProvisionerError {
  try {
    work();
  } catch (error) {
    if (isProvisionerError(error)) return error;
  }
  throw new Error('it was not refused');
}

describe('the admission of an image', () => {
  it('counts each layer once, and lets an image pass that is just as large as allowed', () => {
    expect(() => admit(image, plenty, { ...limits, maxImageBytes: 1000 })).not.toThrow();
  });

  it('refuses an image that is too large, with both figures, also when some of it is stored', () => {
    const error = refusal(() => admit(image, { missing: ['b'], free: 1e12 }, { ...limits, maxImageBytes: 999 }));
    expect(error).toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', details: { bytes: 1000, limit: 999 } });
    expect(error.message).toMatch(/1000.*999/);
  });

  it('refuses what does not fit beside the reserve, with all figures, counting only what is missing', () => {
    const tight = { missing: ['a'], free: 1000 };
    expect(() => admit(image, tight, { ...limits, freeSpaceReserve: 400 })).not.toThrow();
    const error = refusal(() => admit(image, tight, { ...limits, freeSpaceReserve: 401 }));
    expect(error).toMatchObject({ code: 'ERR_NO_SPACE', details: { needed: 600, free: 1000, reserve: 401 } });
  });

  it('refuses nothing that is stored already, however full the disk is', () => {
    expect(() => admit(image, { missing: [], free: 0 }, { ...limits, freeSpaceReserve: 400 })).not.toThrow();
  });

  it('takes a layer of unknown size for nothing', () => {
    const unknown = { id, layers: [layer('a', -1)] };
    expect(() => admit(unknown, { missing: ['a'], free: 10 }, { ...limits, maxImageBytes: 0 })).not.toThrow();
  });
});

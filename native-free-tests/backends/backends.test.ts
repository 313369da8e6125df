import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Backend, BackendName, BackendVerdict } from '#src/backends/backend.js';
import { Backends } from '#src/backends/backends.js';
import { probeIn } from '#src/backends/probe.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const works: BackendVerdict = { usable: true, reason: 'a probe mount worked' };
const cannot: BackendVerdict = { usable: false, reason: 'mounting is not permitted here (EPERM)' };
const inDirectory = (directory: string) => () => join(directory, 'probe-');
const failing = (code: string) => Object.assign(new Error(`${code}: it failed`), { code });

/** Backends of which overlay gives these verdicts in turn, the last one for ever, and the others work. */
const withOverlay = (...verdicts: (() => BackendVerdict)[]) => backendsOf(verdicts, works);

function backendsOf(verdicts: (() => BackendVerdict)[], copy: BackendVerdict) {
  let probes = 0;
  const told: string[] = [];
  const caveats: string[] = [];
  const make = (name: BackendName, probe: () => BackendVerdict): Backend => ({
    name,
    mounts: name !== 'copy',
    describe: () => ({ type: 'copy', layers: [] }),
    provision: async () => {},
    restore: async () => {},
    keepsInMemory: false,
    layOut: () => {},
    writtenIn: () => undefined,
    destroy: async () => {},
    letGoOfMemory: async () => {},
    isInUse: () => false,
    mayBeMounted: () => false,
    ownDirectories: () => [],
    probe,
  });
  const overlay = () => {
    probes++;
    return (verdicts[Math.min(probes, verdicts.length) - 1] as () => BackendVerdict)();
  };
  const backends = new Backends([make('overlay', overlay), make('copy', () => copy), make('bind', () => works)], {
    probeDirectory: '/store/staging',
    probeName: () => 'probe',
    onFallback: (reason) => void told.push(reason),
    onCaveat: (name, caveat) => void caveats.push(`${name}: ${caveat}`),
  });
  return { backends, told, caveats, probes: () => probes };
}

/** The verdict that a probe comes to whose attempt fails so. */
const shortOf = (code: string) => () =>
  probeIn(inDirectory(temporaryDirectory()), () => {
    throw failing(code);
  });

describe('a verdict', () => {
  it.each([works, cannot])('about the kernel is asked for once: %j', (verdict) => {
    const { backends, probes } = withOverlay(() => verdict);
    for (let round = 0; round < 3; round++) backends.choose('auto');
    backends.report();
    expect(probes()).toBe(1);
  });

  it.each(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOMEM', 'EIO', 'EAGAIN'])(
    'that could not be come to for %s is asked for again, and is none of the backend',
    (code) => {
      const { backends, told, probes } = withOverlay(shortOf(code), shortOf(code), () => works);
      const expected =
        { ENOSPC: 'ERR_NO_SPACE', EDQUOT: 'ERR_NO_SPACE', EMFILE: 'ERR_NO_DESCRIPTORS', ENFILE: 'ERR_NO_DESCRIPTORS' }[
          code
        ] ?? 'ERR_IO';
      expect(() => backends.choose('auto')).toThrow(expect.objectContaining({ code: expected }));
      expect(() => backends.choose('overlay')).toThrow(expect.objectContaining({ code: expected }));
      expect(backends.choose('auto').name).toBe('overlay');
      expect(backends.choose('overlay').name).toBe('overlay');
      expect({ told, probes: probes() }).toEqual({ told: [], probes: 3 });
    },
  );

  it('that could not be come to because not even a name could be had is none either', () => {
    const nameless = () => {
      throw failing('ENOSPC');
    };
    expect(probeIn(nameless, () => works)).toMatchObject({ usable: false, shortage: { code: 'ENOSPC' } });
  });

  it('that could not be come to is reported with the reason, and then auto chooses none', () => {
    const { backends } = withOverlay(shortOf('EMFILE'), () => works);
    expect(backends.report()).toEqual([
      { name: 'overlay', chosen: false, usable: false, reason: 'a probe mount could not be made now (EMFILE)' },
      { name: 'copy', chosen: false, ...works },
      { name: 'bind', chosen: false, ...works },
    ]);
    expect(backends.report().map(({ chosen }) => chosen)).toEqual([true, false, false]);
  });

  it.each([
    ['EPERM', 'mounting is not permitted here (EPERM)'],
    ['ENODEV', 'a probe mount failed (ENODEV)'],
    ['EINVAL', 'a probe mount failed (EINVAL)'],
    ['ENOTSUP', 'a probe mount failed (ENOTSUP)'],
  ])('is come to when the attempt fails with %s', (code, reason) => {
    const directory = temporaryDirectory();
    expect(
      probeIn(inDirectory(directory), () => {
        throw failing(code);
      }),
    ).toEqual({ usable: false, reason });
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('auto', () => {
  it('says once that it settles for copy, and why', () => {
    const { backends, told } = withOverlay(() => cannot);
    for (let round = 0; round < 3; round++) expect(backends.choose('auto').name).toBe('copy');
    expect(told).toEqual([cannot.reason]);
  });

  it('does not say that it settles for copy where copies cannot be made either', () => {
    const { backends, told } = backendsOf([() => cannot], { usable: false, reason: 'marks cannot be seen' });
    expect(backends.choose('auto').name).toBe('copy');
    expect(told).toEqual([]);
  });

  it('says nothing when copy was asked for, or when overlay works', () => {
    const one = withOverlay(() => cannot);
    expect(one.backends.choose('copy').name).toBe('copy');
    one.backends.report();
    const other = withOverlay(() => works);
    expect(other.backends.choose('auto').name).toBe('overlay');
    expect([...one.told, ...other.told]).toEqual([]);
  });
});

describe('what is to be told of a backend that works', () => {
  const caveat = 'nothing in it can be run';

  it('is told once, when it is chosen, by name or by auto, and stands in the report', () => {
    for (const choice of ['copy', 'auto'] as const) {
      const { backends, caveats } = backendsOf([() => cannot], { ...works, caveat });
      expect(backends.report()[1]).toMatchObject({ name: 'copy', usable: true, reason: `${works.reason}; ${caveat}` });
      expect(caveats).toEqual([]);
      for (let round = 0; round < 3; round++) expect(backends.choose(choice).name).toBe('copy');
      expect(caveats).toEqual([`copy: ${caveat}`]);
    }
  });

  it('is not told when another one is chosen', () => {
    const { backends, caveats } = backendsOf([() => works], { ...works, caveat });
    expect(backends.choose('auto').name).toBe('overlay');
    expect(backends.choose('bind').name).toBe('bind');
    expect(caveats).toEqual([]);
  });
});

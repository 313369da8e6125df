import { expect, it } from 'vitest';
import { archive, entry, header } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';
import { useRootedLayers } from './workbench.js';

const file = (name: string, content = '') => entry({ name }, content);
const directory = (name: string) => header({ name, type: '5', mode: 0o755 });
const WHITEOUT = { type: 'character device', device: '0' };

describeWith(['root'], 'in a store for overlay', () => {
  const layers = useRootedLayers();

  it.each(['trusted', 'user'] as const)(
    'a whiteout is a device 0/0, and an opaque directory has an attribute (%s)',
    async (format) => {
      const unpacked = await layers.apply(archive(file('d/.wh.gone'), file('o/.wh..wh..opq'), file('o/a')), { format });
      expect(unpacked.at('d/gone')).toMatchObject(WHITEOUT);
      expect(unpacked.at('o').xattrs).toEqual([`${format}.overlay.opaque=79`]);
      expect(Object.keys(unpacked.tree).filter((path) => path.includes('.wh.'))).toEqual([]);
      expect(unpacked.stacking.whiteoutDirectories).toEqual(['d']);
      expect(unpacked.whiteouts).toBe(true);
    },
  );

  it('a whiteout of what is not there is one all the same', async () => {
    expect((await layers.apply(archive(file('a/b/c/.wh.nothing')))).at('a/b/c/nothing')).toMatchObject(WHITEOUT);
  });

  it.each([
    ['in front of', [file('.wh.d'), directory('d'), file('d/a')]],
    ['behind', [directory('d'), file('d/a'), file('.wh.d')]],
  ])('a whiteout %s a directory of the same name makes it opaque', async (_where, parts) => {
    const { at } = await layers.apply(archive(...parts));
    expect(at('d')).toMatchObject({ type: 'directory', xattrs: ['trusted.overlay.opaque=79'] });
  });

  it.each([
    ['in front of', [file('.wh.a'), file('a', 'new')]],
    ['behind', [file('a', 'new'), file('.wh.a')]],
  ])('a whiteout %s a file of the same name says nothing more', async (_where, parts) => {
    const { tree, stacking } = await layers.apply(archive(...parts));
    expect(tree).toEqual({ '.': 'directory 755', a: 'file 644 new' });
    expect(stacking.whiteoutDirectories).toEqual([]);
  });

  it('a whiteout below an opaque directory is left out, since it would show', async () => {
    const { tree } = await layers.apply(archive(file('o/d/.wh.gone'), file('o/.wh.gone'), file('o/.wh..wh..opq')));
    expect(Object.keys(tree).sort()).toEqual(['.', 'o', 'o/d']);
  });

  it.each([
    ['first', [file('.wh..wh..opq'), file('a'), file('.wh.b')]],
    ['last', [file('a'), file('.wh.b'), file('.wh..wh..opq')]],
  ])('an opaque marker of the root, %s in the archive, is told and not written', async (_where, parts) => {
    const { at, opaqueRoot, tree } = await layers.apply(archive(...parts));
    expect(opaqueRoot).toBe(true);
    expect(at('.').xattrs).toEqual([]);
    expect(Object.keys(tree).sort()).toEqual(['.', 'a']);
  });

  it.each([0, 1, 2, 3])('an opaque marker acts wherever it stands, such as at place %i', async (place) => {
    const parts = [directory('d'), file('d/a'), file('d/e/b')];
    parts.splice(place, 0, file('d/.wh..wh..opq'));
    const { at } = await layers.apply(archive(...parts));
    expect(at('d').xattrs).toEqual(['trusted.overlay.opaque=79']);
    expect(at('d/e').xattrs).toEqual([]);
    expect(at('d/a').type).toBe('file');
  });

  it('a device 0/0 of the archive hides what is below', async () => {
    const { at, skipped } = await layers.apply(
      archive(header({ name: 'a', type: '3', major: 0, minor: 0, uid: 5, mode: 0o666 })),
    );
    expect(at('a')).toMatchObject(WHITEOUT);
    expect(skipped.devices).toBe(1);
  });

  it('the records of aufs leave nothing', async () => {
    const { tree } = await layers.apply(
      archive(
        file('.wh..wh.aufs'),
        directory('.wh..wh.plnk'),
        file('.wh..wh.plnk/1.2', 'x'),
        directory('d/.wh..wh.orph'),
      ),
    );
    expect(tree).toEqual({ '.': 'directory 755' });
  });
});

import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { editAuthFile } from '#src/registry/credentials/edit-auth-file.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const USER = 4321;
const write = (path: string) => editAuthFile(path, undefined, (document) => ({ ...document, auths: {} }));

/** A directory of root's. */
function directoryOf(mode: number): string {
  const directory = join(temporaryDirectory(), 'shared');
  mkdirSync(directory);
  chmodSync(directory, mode);
  return directory;
}

describeWith(['root'], 'an auth file in a directory that others may write to', () => {
  it.each([0o1777, 0o777, 0o1775])(
    'is not written where it is somebody else’s, nor where a link of his leads (mode %o)',
    async (mode) => {
      const directory = directoryOf(mode);
      chownSync(directory, 0, USER);
      const [file, link, target] = ['auth.json', 'link.json', '../target.json'].map((name) =>
        join(directory, name),
      ) as [string, string, string];
      writeFileSync(file, '{}');
      chownSync(file, USER, USER);
      symlinkSync(target, link);
      lchownSync(link, USER, USER);
      for (const path of [file, link])
        await expect(write(path)).rejects.toMatchObject({
          code: 'ERR_REGISTRY_CONFIG',
          message: expect.stringContaining('user 4321'),
        });
      expect(readFileSync(file, 'utf8')).toBe('{}');
      expect(statSync(target, { throwIfNoEntry: false })).toBeUndefined();
    },
  );

  it('is written where it is new, or one’s own', async () => {
    const path = join(directoryOf(0o1777), 'own.json');
    await write(path);
    await write(path);
    expect(statSync(path)).toMatchObject({ uid: 0 });
  });

  it('and one in a directory of its owner stays his', async () => {
    const directory = directoryOf(0o755);
    const path = join(directory, 'auth.json');
    writeFileSync(path, '{}');
    for (const place of [directory, path]) chownSync(place, USER, USER);
    await write(path);
    expect(statSync(path).uid).toBe(USER);
  });
});

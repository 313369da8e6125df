import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';

const run = promisify(execFile);

/** Whose a mount namespace is: of root, or of a user namespace in which somebody else is root. */
export type Whose = 'root' | 'user namespace';

/**
 * Runs a program of this folder in a mount namespace of its own, of which the rest of the machine sees nothing.
 * @returns what it printed, as JSON
 */
export async function inOwnMounts<T>(program: string, words: readonly string[], whose: Whose = 'root'): Promise<T> {
  const script = fileURLToPath(new URL(program, import.meta.url));
  const user = whose === 'root' ? [] : ['--user', '--map-root-user'];
  const unshare = [...user, '--mount', '--propagation', 'private', process.execPath, script, ...words];
  const { stdout } = await run('unshare', unshare, { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout) as T;
}

/** An image of one layer, with directories and a file to mount things on; `app` in a layout. */
export async function writeImage(layout: string): Promise<void> {
  const layer = buildLayer(
    [
      { path: 'dev', type: 'directory' },
      { path: 'etc', type: 'directory' },
      { path: 'etc/hostname', content: 'of the image' },
      { path: 'a b\nc\\d', type: 'directory' },
    ],
    { compression: 'none' },
  );
  await writeOciLayout(layout, [{ image: buildImage([layer]), refName: 'app' }]);
}

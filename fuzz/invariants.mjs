/*
 * What must hold after every case: nothing around the layer was touched, and the layer is a tree of its own.
 */
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files of which every change shows: times of change, links, content. */
export class Canaries {
  #root;
  #before = '';

  /** @param {string} root an empty directory; makes `outside/` in it */
  constructor(root) {
    this.#root = root;
    this.#make();
  }

  #make() {
    const outside = this.path;
    rmSync(outside, { recursive: true, force: true });
    mkdirSync(join(outside, 'directory'), { recursive: true });
    writeFileSync(join(outside, 'file'), 'canary');
    writeFileSync(join(outside, 'directory', 'file'), 'canary');
    symlinkSync('file', join(outside, 'link'));
    this.#before = this.#look();
  }

  get path() {
    return join(this.#root, 'outside');
  }

  /** @returns {string | undefined} what has changed; the canaries are then made anew for the next case */
  changed() {
    const before = this.#before;
    const now = this.#look();
    if (now === before) return undefined;
    this.#make();
    return `the surroundings changed from\n${before}\nto\n${now}`;
  }

  #look() {
    try {
      const lines = ['', 'file', 'directory', 'directory/file', 'link'].map((name) => {
        const { ino, mode, nlink, uid, gid, size, mtimeNs, ctimeNs } = lstatSync(join(this.path, name), {
          bigint: true,
        });
        return [name, ino, mode, nlink, uid, gid, size, mtimeNs, ctimeNs].join(' ');
      });
      const lists = ['', 'directory'].map((name) => readdirSync(join(this.path, name)).sort().join(' '));
      return [...lines, ...lists, readFileSync(join(this.path, 'file'), 'latin1')].join('\n');
    } catch (error) {
      return `something that cannot be read: ${error}`;
    }
  }
}

/**
 * Looks at an unpacked layer without following anything.
 * @param {string} layer its directory
 * @param {import('./case.mjs').Case['format']} format
 * @param {{ listXattrs(path: string): string[] }} syscalls
 * @returns {string | undefined} what is wrong with it
 */
export function wrongInLayer(layer, format, syscalls) {
  const odd = readdirSync(layer).filter((name) => !['rootfs', 'stacking.json', 'contents', 'tar'].includes(name));
  if (odd.length > 0) return `the layer's directory holds ${odd.join(', ')}`;
  /** @type {Map<bigint, { found: number, links: number, path: string }>} */
  const files = new Map();
  const device = lstatSync(join(layer, 'rootfs')).dev;
  const rest = [`${layer}/rootfs`];
  for (let directory = rest.pop(); directory !== undefined; directory = rest.pop()) {
    for (const name of readdirSync(Buffer.from(directory, 'latin1'), 'latin1')) {
      const path = `${directory}/${name}`;
      const status = lstatSync(Buffer.from(path, 'latin1'), { bigint: true });
      if (format !== 'plain' && name.startsWith('.wh.')) return `${path} shows`;
      if (status.dev !== BigInt(device)) return `${path} is on another file system`;
      const overlay = syscalls
        .listXattrs(path)
        .find((xattr) => /^(trusted|user)\.overlay\./.test(xattr) && !xattr.endsWith('.opaque'));
      if (overlay !== undefined) return `${path} has ${overlay}`;
      if (status.isDirectory()) {
        rest.push(path);
      } else {
        const known = files.get(status.ino) ?? { found: 0, links: Number(status.nlink), path };
        known.found++;
        files.set(status.ino, known);
      }
    }
  }
  for (const { found, links, path } of files.values()) {
    if (found !== links) return `${path} has ${links} names, of which ${found} are in the layer`;
  }
  return wrongInStacking(layer);
}

/** @param {string} layer */
function wrongInStacking(layer) {
  let stacking;
  try {
    stacking = JSON.parse(readFileSync(join(layer, 'stacking.json'), 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const paths = [...stacking.implied, ...stacking.whiteoutDirectories, ...stacking.lowerLinks.flatMap(Object.values)];
  const unsafe = paths.find((path) => path.startsWith('/') || path.split('/').includes('..'));
  return unsafe === undefined ? undefined : `the stacking record names ${JSON.stringify(unsafe)}`;
}

import { absolutePath } from '../../base/working-directory.js';
import { type BytePath, toBytePath } from '../../system/syscalls/byte-path.js';

export interface CopySource {
  readonly isDirectory: boolean;
  /** What it is called in a directory that it is copied into. */
  readonly name: BytePath;
  /** Of a directory the content alone: written with `/.` behind it. */
  readonly isContent: boolean;
}

export interface CopyTarget {
  /** What is there. */
  readonly is: 'directory' | 'file' | 'link' | 'link-to-directory' | 'other' | 'missing';
  /** What it is called where it is. */
  readonly name: BytePath;
  /** It was written with a slash behind it. */
  readonly endsWithSlash: boolean;
}

/** `inside`: in the directory that is the target; else beside where the target is, or is to be, under its name. An empty name is of nothing: what is in the source goes there. */
export type CopyPlace = { readonly inside: boolean; readonly as: BytePath } | { readonly problem: string };

/** Where a copy goes. @see docs.docker.com, `docker container cp`, "Extended description" */
export function copyPlace(source: CopySource, target: CopyTarget): CopyPlace {
  switch (target.is) {
    case 'directory':
      return { inside: true, as: source.isDirectory && source.isContent ? '' : source.name };
    case 'missing':
      if (!source.isDirectory && target.endsWithSlash) return { problem: 'there is no such directory' };
      return { inside: false, as: target.name };
    case 'link':
      if (source.isDirectory) return { problem: 'it is a symlink, and a directory cannot become one' };
      return { inside: false, as: target.name };
    case 'link-to-directory':
      return {
        problem: 'it is a symlink to a directory, and not followed: with a slash behind it, what it leads to is meant',
      };
    case 'file':
      if (source.isDirectory) return { problem: 'it is a file, and a directory cannot become one' };
      return { inside: false, as: target.name };
    case 'other':
      return { problem: 'it is neither a file nor a directory, and is not replaced' };
  }
}

/** The last part of a path as it is written; undefined where that is no name: of `/`, and of what ends with `.` or `..`. */
export function writtenName(path: BytePath): BytePath | undefined {
  const last = path.split('/').findLast((part) => part !== '');
  return last === undefined || last === '.' || last === '..' ? undefined : last;
}

/** Whether the content of a directory is meant. */
export function isContent(path: BytePath): boolean {
  return /(?:^|\/)\.$/.test(path);
}

/** @param as what the top of an archive is called in it @param entry a path in the archive @returns where that is at the source of the archive */
export function inSource(top: BytePath, as: BytePath, entry: BytePath): BytePath {
  return below(top, entry.slice(as.length));
}

export function below(directory: BytePath, path: BytePath): BytePath {
  const [above, inside] = [directory.replace(/\/$/, ''), path.replace(/^\//, '')];
  return inside === '' ? directory : `${above}/${inside}`;
}

/** Of a plain path. */
export function parentOf(path: BytePath): BytePath {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** A path of this machine as it is written, which may be relative; what it ends with means something. */
export function machinePath(path: BytePath): BytePath {
  return path.startsWith('/') ? path : `${toBytePath(absolutePath('.'))}/${path}`;
}

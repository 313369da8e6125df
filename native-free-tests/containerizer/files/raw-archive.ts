import { Header } from 'tar';

/** What ends with a slash is a directory, what has a link one of those, all else a file. */
export interface RawEntry {
  readonly path: string;
  readonly content?: string;
  readonly link?: string;
  readonly hardLink?: string;
  readonly mode?: number;
}

/** A tar archive with whatever names, its end included. */
export function rawTar(entries: readonly RawEntry[]): Buffer {
  const blocks = entries.flatMap(({ path, content = '', link, hardLink, mode }) => {
    const type = link ? 'SymbolicLink' : hardLink ? 'Link' : path.endsWith('/') ? 'Directory' : 'File';
    const header = Buffer.alloc(512);
    const linkpath = link ?? hardLink ?? '';
    new Header({ path, type, linkpath, mode: mode ?? 0o644, size: content.length, mtime: new Date(0) }).encode(
      header,
      0,
    );
    return [header, Buffer.from(content), Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

import { statSync } from 'node:fs';
import { readForeignText } from '../../../base/foreign-file.js';
import { isWritableByOthers } from '../../../base/walk-way.js';
import { isTrusted, trustedWay } from '../../../system/syscalls/trusted-way.js';
import { type CdiFile, readCdiDocument } from './cdi-file.js';

/** What becomes of a file. */
export type ReadCdiFile =
  | CdiFile
  /** Why it cannot be used, and of which kind its devices seem to be; undefined where that does not show. */
  | { readonly why: Error; readonly seemsOf: string | undefined };

/** Its hooks are run as root: so nobody else may have had a hand in it. @param path of a `.json`, else YAML */
export async function readCdiFile(path: string): Promise<ReadCdiFile> {
  let text = '';
  try {
    text = await readForeignText(trusted(path));
    return readCdiDocument(path.endsWith('.json') ? parseJson(text) : await parseYaml(text));
  } catch (error) {
    const seemsOf = /(?:^|[\s{,])["']?kind["']?\s*:\s*["']?([^\s"',}#]+)/i.exec(text)?.[1];
    return { why: error instanceof Error ? error : new Error(String(error)), seemsOf };
  }
}

function trusted(path: string): string {
  const found = trustedWay(path, {
    foreign: (where) => new Error(`it lies ${where}, which is somebody else's`),
    writable: (directory) => new Error(`others can write to ${directory}`),
    dangling: (_link, missing) => new Error(`${missing} is not there`),
  });
  const status = statSync(found);
  if (!isTrusted(status.uid)) throw new Error('it is somebody else’s');
  if (isWritableByOthers(status))
    throw new Error((status.mode & 0o002) === 0 ? 'its group can write to it' : 'others can write to it');
  return found;
}

/** Without what some editors put before the text. Each key stands once, or it would not be seen which one counts. @throws Error */
function parseJson(text: string): unknown {
  const plain = text.replace(/^\uFEFF/, '');
  const value: unknown = JSON.parse(plain);
  const open: (Set<string> | undefined)[] = [];
  // It is sound: so what stands before a colon is a key.
  for (const [token, key] of plain.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (key !== undefined) {
      const name = JSON.parse(key) as string;
      const keys = open.at(-1);
      if (keys?.has(name)) throw new Error(`the key ${key} stands there twice`);
      keys?.add(name);
    } else if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
  }
  return value;
}

/**
 * As YAML 1.1 has it, which the programs read that these files are written for: a mode of `0666` is octal, and `<<` merges. But neither times nor numbers of base 60, which they do not know either: `0:1` is a name.
 * @throws Error
 */
async function parseYaml(text: string): Promise<unknown> {
  const { parse } = await import('yaml');
  const value: unknown = parse(text, {
    version: '1.1',
    merge: true,
    uniqueKeys: true,
    maxAliasCount: 100,
    logLevel: 'error',
    customTags: (tags) =>
      tags.filter(
        (tag) => typeof tag === 'string' || (tag.tag !== TIME && (!('format' in tag) || tag.format !== 'TIME')),
      ),
  });
  return withTexts(value);
}

const TIME = 'tag:yaml.org,2002:timestamp';
const TEXTS = new Set(['name', 'env', 'args', 'options']);

/** Where a text belongs a plain number or word is one too, as those programs have it: `name: 0`. */
function withTexts(value: unknown, key = ''): unknown {
  const isScalar = typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint';
  if (isScalar) return TEXTS.has(key) ? String(value) : value;
  if (Array.isArray(value)) return value.map((part) => withTexts(part, key));
  if (typeof value !== 'object' || value === null) return value;
  const inside = key === 'annotations' ? 'name' : undefined;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, withTexts(part, inside ?? name)]));
}

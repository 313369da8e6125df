import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import picomatch from 'picomatch';

const repository = fileURLToPath(new URL('../..', import.meta.url));
/** Folders whose files documents name by their path from the root of the repository. */
const NAMED_FOLDERS = ['src', 'native-free-tests', 'system-tests'] as const;
/** Beside the folder `docs`. */
const AT_THE_ROOT = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'] as const;

export interface Document {
  /** Relative to the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** What people read: the pages at the root of the repository, and all below `docs`. */
export function documents(): Document[] {
  const below = readdirSync(join(repository, 'docs'), { recursive: true, encoding: 'utf8' });
  return [...AT_THE_ROOT, ...below.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)].map(document);
}

/** @param path relative to the repository */
export function document(path: string): Document {
  return { path, text: readFileSync(join(repository, path), 'utf8') };
}

/** Links that lead nowhere: to a file that is not there, or to a heading that it does not have. Those into the web are not followed. */
export function deadLinks({ path, text }: Document): string[] {
  const prose = text.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, '`');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [file = '', heading] = target.split('#');
    const linked = file === '' ? path : posix.join(posix.dirname(path), file);
    if (file !== '' && !existsSync(join(repository, linked))) return [`${path}: no ${linked}`];
    if (heading === undefined || headings(file === '' ? text : textOf(linked)).includes(heading)) return [];
    return [`${path}: no heading ${heading} in ${linked}`];
  });
}

/** Paths of files and folders that are named and are not there. One with a `*` stands for as many as there are, one at least. */
export function deadPaths({ path, text }: Document): string[] {
  const named = [...text.matchAll(/(?<![\w./#-])(?:src|native-free-tests|system-tests)\/[\w./*-]*/g)];
  const paths = new Set(named.map(([name]) => name.replace(/[./]+$/, '')));
  return [...paths].filter((name) => !isThere(name)).map((name) => `${path}: no ${name}`);
}

/** Pages of ours that a comment names, with what it says of where in them, and that are not there. Behind a comma stands a page of another project: `containerd, docs/hosts.md`. */
export function deadPages({ path, text }: Document): string[] {
  return [...text.matchAll(/(?<!, |[\w./-])(docs\/[\w/-]+\.md)(?:, "([^"\n]+)")?/g)].flatMap(
    ([, page = '', heading]) => {
      if (!existsSync(join(repository, page))) return [`${path}: no ${page}`];
      if (heading === undefined || headings(textOf(page)).includes(slug(heading))) return [];
      return [`${path}: no heading "${heading}" in ${page}`];
    },
  );
}

/** The rows of all tables below a heading and above the next one, each as its cells. */
export function rowsBelow(text: string, heading: string): string[][] {
  const [, section = ''] = text.split(new RegExp(`^#+ ${heading}$`, 'm'));
  const [own = ''] = section.split(/^#+ /m);
  const rows = own.split('\n').filter((line) => line.startsWith('|') && !/^[|\s-]+$/.test(line));
  return rows.map((line) =>
    line
      .slice(1, line.lastIndexOf('|'))
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** What stands in backticks in a text. */
export function codeIn(text = ''): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
}

function textOf(path: string): string {
  return statSync(join(repository, path)).isFile() ? document(path).text : '';
}

function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => slug(heading));
}

/** What the link to a heading is called. */
function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replace(/\s/g, '-');
}

let all: string[] | undefined;

function isThere(name: string): boolean {
  if (!name.includes('*')) return existsSync(join(repository, name));
  all ??= NAMED_FOLDERS.flatMap((folder) =>
    readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`),
  );
  const fits = picomatch(name);
  return all.some((path) => fits(path));
}

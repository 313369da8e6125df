import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));

export interface SourceFile {
  /** Relative to the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** Every TypeScript file below `src`. */
export function sourceFiles(): SourceFile[] {
  return readdirSync(join(repository, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({
      path: `src/${name.replaceAll(sep, '/')}`,
      text: readFileSync(join(repository, 'src', name), 'utf8'),
    }));
}

/** Folders that hold nothing but rooms. */
const HOUSES = new Set(['system', 'files']);

/** The room that a file belongs to: the folder below `src`, or below one that holds rooms; a file that lies in none is a room of its own: `src/paths.ts` is `paths`. */
export function unitOf(path: string): string {
  const [, first = '', second = ''] = path.split('/');
  return (HOUSES.has(first) ? `${first}/${second}` : first).replace(/\.ts$/, '');
}

/** A text between quotes. */
export interface Literal {
  readonly value: string;
  /** Where its opening quote is in the file. */
  readonly start: number;
}

export interface ScannedSource {
  /** Strings and templates; in a template, what `${…}` holds is left out, and shows as `\0`. */
  readonly literals: readonly Literal[];
  /** The file with comments, regular expressions and the insides of literals blanked out, every other character where it was. */
  readonly code: string;
}

/**
 * Tells code, comments and literals apart, as far as the rules here need. Small, because no parser is among the dependencies; strict,
 * because it throws when it loses its way instead of overlooking what follows.
 */
export function scan(text: string): ScannedSource {
  const literals: Literal[] = [];
  const code =
    [...text].length === text.length ? text.split('') : Array.from({ length: text.length }, (_, i) => text[i] ?? '');
  const blank = (from: number, to: number) => {
    for (let i = from; i < to; i++) if (code[i] !== '\n') code[i] = ' ';
  };
  let at = 0;

  const untilBrace = () => {
    for (let depth = 0; at < text.length; ) {
      if (text[at] === '{') depth++;
      else if (text[at] === '}' && depth-- === 0) return;
      step();
    }
    throw new Error('a brace is never closed');
  };
  const quoted = (quote: string) => {
    const start = at++;
    let value = '';
    let blankFrom = at;
    for (; text[at] !== quote; at++) {
      if (at >= text.length || (text[at] === '\n' && quote !== '`'))
        throw new Error(`a literal is never closed: ${text.slice(start, start + 40)}`);
      if (text[at] === '\\') value += text[++at];
      else if (quote === '`' && text.startsWith('${', at)) {
        blank(blankFrom, at);
        at += 2;
        untilBrace();
        value += '\0';
        blankFrom = at + 1;
      } else value += text[at];
    }
    blank(blankFrom, at++);
    literals.push({ value, start });
  };
  const skip = (pattern: RegExp) => {
    pattern.lastIndex = at;
    const length = pattern.exec(text)?.[0].length;
    if (length === undefined) throw new Error(`cannot read on at ${text.slice(at, at + 40)}`);
    blank(at, at + length);
    at += length;
  };
  function step(): void {
    const character = text[at] ?? '';
    if (text.startsWith('//', at) || (at === 0 && text.startsWith('#!'))) skip(/(?:\/\/|#!).*/y);
    else if (text.startsWith('/*', at)) skip(/\/\*[\s\S]*?\*\//y);
    else if (character === '/' && beginsRegExp(code, at)) skip(/\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/y);
    else if (character === "'" || character === '"' || character === '`') quoted(character);
    else at++;
  }

  while (at < text.length) step();
  return { literals, code: code.join('') };
}

/** A slash divides after a value, and begins a regular expression elsewhere. */
function beginsRegExp(code: readonly string[], at: number): boolean {
  const before = code
    .slice(Math.max(0, at - 200), at)
    .join('')
    .trimEnd();
  return before === '' || /[([{,;=:?!&|+<>~^%*-]$|=>$|\b(?:return|typeof|case|in|of|await)$/.test(before);
}

/** `src/a/b.ts:12`, for messages. */
export function placeIn({ path, text }: SourceFile, index: number): string {
  return `${path}:${text.slice(0, index).split('\n').length}`;
}

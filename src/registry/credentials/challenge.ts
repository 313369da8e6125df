/** One way of proving who one is, as a server asks for it. @see RFC 9110, section 11.6.1, "WWW-Authenticate" */
export interface Challenge {
  /** In lowercase: `basic`, `bearer`. */
  readonly scheme: string;
  /** Names in lowercase. */
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const SPACE = /[ \t]*/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const COMMAS = /[ \t,]*/y;
/** What stands alone after a scheme, instead of parameters. */
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y;

/**
 * Reads the challenges of a response, in their order. What makes no sense ends the reading; what was read before it counts.
 * @param headers the values of all `WWW-Authenticate` lines
 */
export function parseChallenges(headers: readonly string[]): Challenge[] {
  return headers.flatMap(parseLine);
}

function parseLine(text: string): Challenge[] {
  const challenges: Challenge[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) return undefined;
    at = pattern.lastIndex;
    return match;
  };
  for (;;) {
    take(COMMAS);
    const scheme = take(TOKEN)?.[0];
    if (scheme === undefined) return challenges;
    const parameters: Record<string, string> = {};
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
    take(SPACE);
    take(TOKEN68);
    for (;;) {
      const start = at;
      take(COMMAS);
      const name = take(TOKEN)?.[0];
      take(SPACE);
      if (name === undefined || text[at] !== '=') {
        // A name without a value is the next scheme.
        at = start;
        break;
      }
      at++;
      take(SPACE);
      const quoted = take(QUOTED);
      const value = quoted === undefined ? take(TOKEN)?.[0] : quoted[1]?.replace(/\\(.)/g, '$1');
      if (value === undefined) return challenges;
      parameters[name.toLowerCase()] ??= value;
    }
  }
}

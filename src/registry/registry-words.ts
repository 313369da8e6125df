/** What a registry says of a refusal, fit to be shown. */
export interface RegistryWords {
  /** `errors[0].code`. */
  readonly code?: string;
  /** `errors[0].message`: one line, safe for a terminal, without what may be a secret. */
  readonly message?: string;
}

/** What servers of the distribution spec put into `errors[0].code`. @see OCI distribution-spec, "Error Codes" */
const SPEC_CODE = /^[A-Z][A-Z_]{0,63}$/;
/** Characters of a message that are shown. */
const MOST_SHOWN = 200;
/** Characters that are looked at: what begins beyond is not shown, and what is secret in it need not be found. */
const MOST_READ = 2000;
const LINE_END = /[\n\v\f\r\u0085\p{Zl}\p{Zp}]/u;
/** Control and format characters, among them escape sequences and what turns text around, and what is no character. */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]+/gu;
const HIDDEN = '…';

/**
 * Reads the body of a refusal. Not every server follows the specification: what cannot be read is left out, and the status says enough.
 * @param body the start of it @param secrets what was shown to the server: a message that has any of it is left out
 */
export function readWords(body: string, secrets: readonly string[] = []): RegistryWords {
  let first: { readonly code?: unknown; readonly message?: unknown };
  try {
    first = Object(JSON.parse(body)?.errors?.[0]);
  } catch {
    return {};
  }
  const { code, message } = first;
  const shown = typeof message === 'string' ? showable(message, secrets) : '';
  return {
    ...(typeof code === 'string' && SPEC_CODE.test(code) && !secrets.some((secret) => tells(code, secret))
      ? { code }
      : {}),
    ...(shown === '' ? {} : { message: shown }),
  };
}

/** `status 403 (DENIED), "requested access to the resource is denied"`. */
export function answerInWords(status: number, { code, message }: RegistryWords): string {
  return [
    `status ${status}`,
    code === undefined ? '' : ` (${code})`,
    message === undefined ? '' : `, "${message.replaceAll('"', "'")}"`,
  ].join('');
}

function showable(message: string, secrets: readonly string[]): string {
  if (secrets.some((secret) => tells(message, secret))) return '';
  const [line = ''] = message.trim().split(LINE_END);
  const clean = withoutSecrets(line.slice(0, MOST_READ).replace(UNSAFE, ' ')).replace(/\s+/g, ' ').trim();
  const characters = [...clean];
  return characters.length > MOST_SHOWN ? `${characters.slice(0, MOST_SHOWN).join('')}${HIDDEN}` : clean;
}

/** A short password is part of many a word: it counts where it stands alone. */
function tells(message: string, secret: string): boolean {
  if (secret === '') return false;
  if (secret.length >= 8) return message.includes(secret);
  return message.split(/[\s"'`,;:=()[\]{}<>]+/).includes(secret);
}

/** Takes out what looks like a secret: of whom it is the registry does not say. */
function withoutSecrets(text: string): string {
  return text
    .replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, '$1')
    .replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/gi, `$1?${HIDDEN}`)
    .replace(
      /((?:pass(?:word|wd)?|secret|token|key|sig(?:nature)?|credentials?|auth(?:orization)?)["']?\s*[:=]\s*)(?:(?:bearer|basic)\s+)?[^\s,;&]+/gi,
      `$1${HIDDEN}`,
    )
    .replace(/(sha(?:256|512):)?[A-Za-z0-9+/_=~.:-]{20,}/g, (word, digest) =>
      digest !== undefined || !isOpaque(word) ? word : HIDDEN,
    );
}

/** Letters and digits in long rows, as keys and tokens have them; names of hosts and repositories do not. */
function isOpaque(word: string): boolean {
  if (/[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/i.test(word)) return true;
  const mixed = /\d/.test(word) && /[A-Za-z]/.test(word);
  return mixed && (/[A-Z+=~]/.test(word) || word.split(/[/_.:-]/).some((part) => part.length >= 20));
}

/**
 * A value as JSON, with a bigint as a whole number: what means "no limit" in a `config.json` is 2⁶⁴ − 1, which no number of JavaScript is. What is undefined is left
 * out.
 */
export function configText(value: unknown): string {
  try {
    // Many times as fast, and hardly any has a bigint in it.
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return textWithBigints(value);
  }
}

function textWithBigints(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return `[${value.map(textWithBigints).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  return `{${entries.map(([name, part]) => `${JSON.stringify(name)}:${textWithBigints(part)}`).join(',')}}`;
}

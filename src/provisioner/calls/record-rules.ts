import type { Rule } from '../../base/options/check-options.js';

/** What texts of others may be that the records keep, so that none makes the others slow. */

/** @param most characters */
export const json = (most: number): Rule => ({
  meant: `JSON of at most ${most} characters`,
  holds: (value) => typeof value === 'string' && value.length <= most && isJson(value),
});
export const nullOr = (rule: Rule): Rule => ({ ...rule, holds: (value) => value === null || rule.holds(value) });
export const KIND: Rule = {
  meant: 'a word of at most 64 small letters, digits and hyphens',
  holds: (value) => typeof value === 'string' && /^[a-z][a-z0-9-]{0,63}$/.test(value),
};

function isJson(value: string): boolean {
  try {
    JSON.parse(value);
    return true;
  } catch {
    return false;
  }
}

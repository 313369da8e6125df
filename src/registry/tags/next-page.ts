/** One parameter of a link, where the last one ended. */
const PARAMETER = /[ \t]*;[ \t]*([^\s;,="]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/y;

/**
 * What of a `Link` header asks for the next page: its query alone. Where the page is to be had is known, and registries behind proxies write names and paths that lead elsewhere or nowhere; so no
 * registry can send us, and what we show it, to another host by a link.
 * @param values of all `Link` lines
 * @returns `?last=v1&n=100`; undefined on the last page
 * @see OCI distribution-spec, "Listing Tags"; RFC 8288, section 3, "Link Serialisation in HTTP Headers"
 */
export function nextPage(values: readonly string[]): string | undefined {
  for (const value of values) {
    for (const { target, relations } of linksIn(value)) if (relations?.includes('next')) return queryOf(target);
  }
  // Nothing else is linked from a list of tags, so a link that is not written as it should be is the next page's: one without `rel`, or without the brackets.
  for (const value of values) {
    const [link] = linksIn(value);
    if (link?.relations === undefined) return queryOf(link?.target ?? value.split(';')[0]?.trim() ?? '');
  }
  return undefined;
}

/** Whatever stands in it, it ends up in a URL: spaces and the like are written as such. */
function queryOf(target: string): string | undefined {
  const query = target.indexOf('?');
  return query < 0 ? undefined : new URL(target.slice(query), 'http://page').search || undefined;
}

/** Each with what it is, in small letters; undefined where that is not said. */
function* linksIn(
  text: string,
): Generator<{ readonly target: string; readonly relations: readonly string[] | undefined }> {
  let at = 0;
  for (;;) {
    const begin = text.indexOf('<', at);
    const end = text.indexOf('>', begin);
    if (begin < 0 || end < 0) return;
    let relations: readonly string[] | undefined;
    at = end + 1;
    for (;;) {
      PARAMETER.lastIndex = at;
      const [whole = '', name = '', quoted, plain = ''] = PARAMETER.exec(text) ?? [];
      if (whole === '') break;
      at += whole.length;
      // The first one counts.
      if (name.toLowerCase() === 'rel')
        relations ??= (quoted ?? plain.replace(/^'(.*)'$/, '$1')).toLowerCase().split(/[ \t]+/);
    }
    yield { target: text.slice(begin + 1, end), relations };
  }
}

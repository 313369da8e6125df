/**
 * The object with those of its keys that have these names but for their case under these names, as programs written in Go read JSON: some tools write all of a document in small letters. A key that has the name to
 * the letter counts before others; of others the last one.
 * @returns the object itself where nothing is to be changed
 * @see Go's encoding/json, "Unmarshal"
 */
export function foldKeys<Document extends object>(document: Document, names: readonly string[]): Document {
  const keys = Object.keys(document);
  if (keys.every((key) => names.includes(key) || !names.some((name) => isSame(name, key)))) return document;
  const entries = Object.entries(document).flatMap(([key, value]) => {
    const name = names.find((one) => isSame(one, key)) ?? key;
    return name === key || !Object.hasOwn(document, name) ? [[name, value]] : [];
  });
  // Which makes a key even of `__proto__`.
  return Object.fromEntries(entries) as Document;
}

function isSame(name: string, key: string): boolean {
  return name.length === key.length && name.toLowerCase() === key.toLowerCase();
}

// @ts-check
/**
 * Calls a method of a provisioner that is named in a text, such as `destroy` or `images.pull`.
 * @param {object} provisioner @param {string} method @param {readonly unknown[]} args
 * @returns {Promise<unknown>}
 */
export async function callMethod(provisioner, method, args) {
  const names = method.split('.');
  const last = names.pop() ?? '';
  const noun = names.reduce((from, name) => from[name], /** @type {any} */ (provisioner));
  return noun[last](...args);
}

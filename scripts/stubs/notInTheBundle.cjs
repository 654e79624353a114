"use strict";
/**
 * Stands in the bundle for a module that matrix-bot-sdk imports when it is loaded and that Docket never calls: application
 * services, the SDK's own storage, its native crypto. It may be loaded, destructured and extended; it throws when it is called.
 */
module.exports = function notInTheBundle(name) {
  function absent() {
    throw new Error(`${name} is not part of Docket's package: matrix-bot-sdk imports it, and Docket never calls it`);
  }
  return new Proxy(absent, {
    // `then`, `__esModule` and symbols are asked by loaders; what they find must look like an ordinary CommonJS module.
    get: (target, key) => {
      if (typeof key === "symbol" || key === "then" || key === "__esModule") return undefined;
      if (key === "prototype") return target.prototype;
      return notInTheBundle(`${name}.${key}`);
    },
  });
};

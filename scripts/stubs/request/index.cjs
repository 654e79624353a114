"use strict";
// matrix-bot-sdk imports `request` when it is loaded; Docket replaces it with setRequestFn before the first call.
module.exports = function request() {
  throw new Error("the `request` package is not part of Docket: matrix-bot-sdk sends through src/matrix/http.ts");
};

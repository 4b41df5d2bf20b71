import type { InputError, Problem } from "./types";

/** What went wrong with a request, in words for a person. Every failed call of the client throws one. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly hint: string | null;
  readonly errors: InputError[];

  constructor(problem: Problem) {
    super(problem.detail || problem.title);
    this.status = problem.status;
    this.code = problem.code;
    this.title = problem.title;
    this.detail = problem.detail;
    this.hint = problem.hint ?? null;
    this.errors = problem.errors ?? [];
  }
}

/** Reads a problem document; anything else (a proxy's error page) becomes one. */
export function problemFrom(status: number, body: unknown): ApiError {
  if (typeof body === "object" && body !== null && "title" in body && "detail" in body) {
    return new ApiError({ ...(body as Problem), status });
  }
  return new ApiError({
    type: "about:blank",
    title: `The controller answered with status ${status}`,
    status,
    code: "unexpected_answer",
    detail: "The answer was not one that the controller gives, so something between this browser and the controller may have written it.",
    hint: "Check the reverse proxy, if there is one, then try again.",
  });
}

/** The controller could not be asked at all. */
export function unreachable(): ApiError {
  return new ApiError({
    type: "about:blank",
    title: "The controller cannot be reached",
    status: 0,
    code: "unreachable",
    detail: "The request did not get an answer.",
    hint: "Check the network and that muster-controller runs. Applications keep running without it.",
  });
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof TypeError) return unreachable();
  return new ApiError({
    type: "about:blank",
    title: "Something unexpected went wrong",
    status: 0,
    code: "unexpected",
    detail: error instanceof Error ? error.message : String(error),
  });
}

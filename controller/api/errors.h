/* errors.h - Cloud Controller's errors: status, code and title of each that we answer. */
#ifndef CONTROLLER_API_ERRORS_H
#define CONTROLLER_API_ERRORS_H

enum cc_error {
    CC_INVALID_AUTH_TOKEN,
    CC_NOT_AUTHENTICATED,
    CC_NOT_AUTHORIZED,
    CC_MESSAGE_PARSE_ERROR,
    CC_BAD_REQUEST,
    CC_BAD_QUERY_PARAMETER,
    CC_UNPROCESSABLE,
    CC_RESOURCE_NOT_FOUND,
    CC_UNKNOWN_REQUEST,
    CC_METHOD_NOT_ALLOWED,
    CC_REQUEST_TOO_LARGE,
    CC_RATE_LIMITED,
    CC_CONFLICT,     /* UAA's */
    CC_UNAUTHORIZED, /* UAA's: a wrong password */
    CC_ORG_SUSPENDED,
    CC_FEATURE_DISABLED,
    CC_STAGING_IN_PROGRESS,
    CC_SCALE_IN_DEPLOYMENT,
    CC_UPDATE_IN_DEPLOYMENT,
    CC_UNAVAILABLE,
    CC_UNKNOWN_ERROR,
    CC_ERROR_COUNT,
};

struct cc_error_info {
    int status, code;
    const char *title, *detail; /* the usual detail */
};
const struct cc_error_info *cc_error_info(enum cc_error e);

#endif

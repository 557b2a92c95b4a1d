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
    /* API v2's own; their details begin a sentence that the guid or the name ends. */
    CC_INVALID_RELATION,
    CC_USER_NOT_FOUND,
    CC_ORG_INVALID,
    CC_ORG_NAME_TAKEN,
    CC_ORG_NOT_FOUND,
    CC_SPACE_INVALID,
    CC_SPACE_NAME_TAKEN,
    CC_SPACE_NOT_FOUND,
    CC_APP_INVALID,
    CC_APP_NAME_TAKEN,
    CC_APP_NOT_FOUND,
    CC_DOMAIN_INVALID,
    CC_DOMAIN_NOT_FOUND,
    CC_DOMAIN_NAME_TAKEN,
    CC_APP_PACKAGE_INVALID,
    CC_STAGING_ERROR,
    CC_NOT_STAGED,
    CC_APP_STOPPED_STATS,
    CC_ROUTE_INVALID,
    CC_ROUTE_NOT_FOUND,
    CC_ROUTE_HOST_TAKEN,
    CC_ROUTE_PATH_TAKEN,
    CC_INSTANCES_ERROR,
    CC_QUOTA_NOT_FOUND,
    CC_STACK_NOT_FOUND,
    CC_DOCKER_DISABLED,
    CC_FLAG_NOT_FOUND,
    CC_ERROR_COUNT,
};

struct cc_error_info {
    int status, code;
    const char *title, *detail; /* the usual detail */
};
const struct cc_error_info *cc_error_info(enum cc_error e);

#endif

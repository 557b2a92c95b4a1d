#include "controller/api/errors.h"

/* cc: vendor/errors/v2.yml and v3.yml; details as the CLIs compare them. */
static const struct cc_error_info infos[CC_ERROR_COUNT] = {
    [CC_INVALID_AUTH_TOKEN] = {401, 1000, "CF-InvalidAuthToken", "Invalid Auth Token"},
    [CC_NOT_AUTHENTICATED] = {401, 10002, "CF-NotAuthenticated", "Authentication error"},
    [CC_NOT_AUTHORIZED] = {403, 10003, "CF-NotAuthorized",
                           "You are not authorized to perform the requested action"},
    [CC_MESSAGE_PARSE_ERROR] = {400, 1001, "CF-MessageParseError",
                                "Request invalid due to parse error: invalid request body"},
    [CC_BAD_REQUEST] = {400, 1004, "CF-BadRequest", "Bad request"},
    [CC_BAD_QUERY_PARAMETER] = {400, 10005, "CF-BadQueryParameter",
                                "The query parameter is invalid"},
    [CC_UNPROCESSABLE] = {422, 10008, "CF-UnprocessableEntity",
                          "The request is semantically invalid"},
    [CC_RESOURCE_NOT_FOUND] = {404, 10010, "CF-ResourceNotFound", "Resource not found"},
    [CC_UNKNOWN_REQUEST] = {404, 10000, "CF-NotFound", "Unknown request"},
    [CC_METHOD_NOT_ALLOWED] = {405, 10000, "CF-NotFound", "Unknown request"},
    [CC_REQUEST_TOO_LARGE] = {413, 1004, "CF-BadRequest", "The request is too large"},
    [CC_RATE_LIMITED] = {429, 10013, "CF-RateLimitExceeded", "Rate Limit Exceeded"},
    [CC_CONFLICT] = {409, 10016, "CF-UniquenessError", "It exists already"},
    [CC_UNAUTHORIZED] = {401, 10002, "CF-NotAuthenticated", "Bad credentials"},
    [CC_ORG_SUSPENDED] = {403, 10017, "CF-OrgSuspended", "The organization is suspended"},
    [CC_FEATURE_DISABLED] = {403, 330002, "CF-FeatureDisabled", "Feature Disabled"},
    [CC_STAGING_IN_PROGRESS] = {422, 170017, "CF-StagingInProgress",
                                "Only one build can be STAGING at a time per application."},
    [CC_SCALE_IN_DEPLOYMENT] = {422, 390016, "CF-ScaleDisabledDuringDeployment",
                                "Cannot scale this process while a deployment is in flight."},
    [CC_UPDATE_IN_DEPLOYMENT] = {422, 390019, "CF-ProcessUpdateDisabledDuringDeployment",
                                 "Cannot update this process while a deployment is in flight."},
    [CC_UNAVAILABLE] = {503, 10015, "CF-ServiceUnavailable", "The service is unavailable"},
    [CC_UNKNOWN_ERROR] = {500, 10001, "UnknownError", "An unknown error occurred."},
};

const struct cc_error_info *cc_error_info(enum cc_error e) {
    return &infos[e];
}

<?php
/*
Plugin Name: Media hashes in Redis
Description: Writes the hash of each post's media to Redis before the post is acknowledged, and shows it.
*/
function rig_redis() {
    static $redis = null;
    if ($redis === null) {
        $redis = new Redis();
        $redis->connect('127.0.0.1', REDIS_PORT, 5.0);
    }
    return $redis;
}

add_action('added_post_meta', function ($meta_id, $post_id, $key, $value) {
    if ($key === 'media_sha256') {
        rig_redis()->hSet('media', (string) $post_id, $value);
    }
}, 10, 4);

add_filter('the_content', function ($content) {
    return $content . '<p>cached:' . rig_redis()->hGet('media', (string) get_the_ID()) . '</p>';
});
